//! Steps that no runner executes. Until a kind has its performer, an attempt of it ends at once,
//! refused, with what the author can do; the rest of the run goes on.

use plue_flow::fact::Outcome;
use plue_plan::Action;

/// The answer for a kind that this engine cannot perform; `None` for kinds that runners execute.
pub(crate) fn refusal(action: &Action) -> Option<Outcome> {
    let message = match action {
        Action::Bash(_) | Action::Python(_) => return None,
        Action::Llm(_) => {
            "this build of plue has no Claude steps yet, so an llm step cannot run; to configure \
             one once they are there, set ANTHROPIC_API_KEY for the plue process (never in a step)"
                .to_owned()
        }
        Action::Approval(_)
        | Action::Negotiate(_)
        | Action::Workflow(_)
        | Action::Call(_)
        | Action::Wait(_)
        | Action::Plugin(_) => {
            format!("this build of plue cannot run `{}` steps yet", action.kind())
        }
    };
    Some(Outcome::Refused { message })
}

#[cfg(test)]
mod tests {
    use plue_plan::action::Bash;

    use super::*;

    #[test]
    fn steps_for_runners_are_not_refused() {
        let bash = Action::Bash(Bash { run: "true".to_owned(), shell: "bash".to_owned() });
        assert_eq!(refusal(&bash), None);
    }
}

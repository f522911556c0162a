//! Tasks that are neither commands nor programs: agents and what `uses` names.

use std::collections::BTreeMap;

use plue_plan::{
    Action, Value,
    action::{
        Approval, Call, Llm, Mcp, Negotiate, OnTimeout, Plugin, Prompt, PromptFile, Wait, Workflow,
    },
    validate::did_you_mean,
};

use crate::{
    codes,
    workflow::{
        fields::{Field, Fields},
        lower::Lower,
        problems::quoted,
        task::{Said, only},
        yaml::{Data, Node},
    },
};

/// The prompt that puts a request and further parameters together.
const TASK_PROMPT: &str = "task";
/// Values of `uses` that are not plugins.
pub(super) const USES: [&str; 5] = ["approval", "negotiate", "workflow", "call", "wait"];

// === impl Lower ===

impl Lower<'_, '_> {
    pub(super) fn llm(
        &mut self,
        fields: &mut Fields<'_>,
        said: &Said<'_>,
        agent: Option<String>,
    ) -> Option<Action> {
        let prompt = match said.prompt {
            Some(field) => self.prompt(field, said),
            None => Some(self.request(fields, said)),
        };
        let role = match agent {
            Some(agent) => Some(agent),
            None => fields.fixed("role", &mut self.problems),
        };
        let llm = Llm {
            prompt: prompt.unwrap_or(Prompt::Text(Value::text("…"))),
            model: fields.fixed("model", &mut self.problems),
            fallback_models: fields.texts("fallback_models", &mut self.problems),
            system: fields.fixed("system", &mut self.problems),
            tools: fields.take("tools").map(|field| fields.texts_of(field, &mut self.problems)),
            approve: fields.texts("approve", &mut self.problems),
            approve_timeout: fields.duration("approve_timeout", &mut self.problems),
            mcp: self.servers(fields),
            max_turns: fields.count("max_turns", &mut self.problems),
            max_tokens: fields.count("max_tokens", &mut self.problems),
            budget: {
                let field = fields.take("budget");
                self.budget(field)
            },
            output: fields.json("output"),
            role,
            effort: fields.fixed("effort", &mut self.problems),
        };
        Some(Action::Llm(Box::new(llm)))
    }

    fn servers(&mut self, fields: &mut Fields<'_>) -> Vec<Mcp> {
        let Some(field) = fields.take("mcp") else {
            return Vec::new();
        };
        let items = fields.items_of(field, "servers", &mut self.problems);
        items.iter().filter_map(|item| self.server(item)).collect()
    }

    fn server(&mut self, node: &Node) -> Option<Mcp> {
        let mut fields = self.fields(node, "an MCP server")?;
        let name = fields.fixed("name", &mut self.problems);
        if name.is_none() {
            fields.missing("name", "like {name: github, command: [npx, …]}", &mut self.problems);
        }
        let command = fields.texts("command", &mut self.problems);
        let env = self.values_field(&mut fields, "env");
        let url = fields.fixed("url", &mut self.problems);
        let headers = self.values_field(&mut fields, "headers");
        let pin = fields.fixed("pin", &mut self.problems);
        fields.finish(&mut self.problems);
        Some(Mcp { name: name?, command, env, url, headers, pin })
    }

    /// A request, or a prompt file: `{name: code-review, inputs: {…}}`.
    fn prompt(&mut self, field: Field<'_>, said: &Said<'_>) -> Option<Prompt> {
        if let Data::Map(_) = field.node.data {
            let mut file = self.fields(field.node, "`prompt`")?;
            let name = file.fixed("name", &mut self.problems);
            let mut inputs = self.values_field(&mut file, "inputs");
            if name.is_none() {
                let hint = "the name of a file of .plue/prompts, or of one that comes with plue";
                file.missing("name", hint, &mut self.problems);
            }
            if let Some(parameters) = said.parameters {
                if !inputs.is_empty() {
                    let message =
                        "`parameters` are the inputs of the prompt, which has `inputs` too";
                    self.problems.error(codes::FIELD_VALUE, parameters.key, message);
                }
                inputs.extend(self.values(&file, parameters));
            }
            file.finish(&mut self.problems);
            return Some(Prompt::File(PromptFile { name: name?, inputs }));
        }
        if let Some(parameters) = said.parameters {
            let message = "`parameters` are the inputs of a prompt, and this prompt is a text";
            let hint = "name a prompt file, or write them into the text";
            self.problems.push(codes::FIELD_VALUE, parameters.key, message, hint);
        }
        super::fields::plain(field.node, "`prompt`", &mut self.problems)?;
        Some(Prompt::Text(self.value(field.node)))
    }

    /// `parameters.task` is the request; with other parameters it is an input of a prompt.
    fn request(&mut self, fields: &Fields<'_>, said: &Said<'_>) -> Prompt {
        let Some(field) = said.parameters else {
            return Prompt::Text(Value::text(said.request()));
        };
        if let Some(Data::Text(_)) = only(field.node, "task").map(|task| &task.data) {
            let task = only(field.node, "task").unwrap_or(field.node);
            return Prompt::Text(self.value(task));
        }
        let mut inputs = self.values(fields, field);
        if inputs.is_empty() {
            return Prompt::Text(Value::text(said.request()));
        }
        inputs.entry("task".to_owned()).or_insert_with(|| Value::text(said.request()));
        Prompt::File(PromptFile { name: TASK_PROMPT.to_owned(), inputs })
    }

    /// `uses: approval`, or the kind of a plugin.
    pub(super) fn uses(&mut self, fields: &mut Fields<'_>, field: Field<'_>) -> Option<Action> {
        let kind = fields.text_of(field, &mut self.problems);
        let Some(kind) = kind else {
            fields.forget();
            return None;
        };
        match kind.as_str() {
            "approval" => Some(self.approval(fields)),
            "negotiate" => self.negotiate(fields),
            "workflow" => Some(self.workflow(fields)),
            "call" => self.call(fields),
            "wait" => Some(self.wait(fields)),
            other => {
                let plugin = other.strip_prefix("plugin:").unwrap_or(other);
                let near = did_you_mean(other, USES).filter(|near| near.len() >= 4);
                if let (Some(near), false) = (near, other.starts_with("plugin:")) {
                    let message = format!("{} uses {}", fields.what, quoted(other));
                    let hint =
                        format!("did you mean `{near}`? A plugin is written `plugin:{other}`");
                    self.problems.push(codes::FIELD_VALUE, field.node.place, message, hint);
                    fields.forget();
                    return None;
                }
                let config = self.values_field(fields, "with");
                Some(Action::Plugin(Plugin { plugin: plugin.to_owned(), config }))
            }
        }
    }

    fn approval(&mut self, fields: &mut Fields<'_>) -> Action {
        let choices = [("reject", OnTimeout::Reject), ("approve", OnTimeout::Approve)];
        Action::Approval(Approval {
            message: self.text_value_field(fields, "message"),
            approvers: fields.texts("approvers", &mut self.problems),
            quorum: fields.count("quorum", &mut self.problems).unwrap_or(1),
            on_timeout: fields
                .choice("on_timeout", &choices, &mut self.problems)
                .unwrap_or_default(),
            fields: fields.json("fields"),
        })
    }

    fn negotiate(&mut self, fields: &mut Fields<'_>) -> Option<Action> {
        let parties = fields.texts("parties", &mut self.problems);
        let subject = fields.json("subject");
        if subject.is_none() {
            fields.missing("subject", "a JSON Schema of a proposal", &mut self.problems);
        }
        let rounds = fields.count("rounds", &mut self.problems);
        let accept = fields.fixed("accept", &mut self.problems).filter(|accept| accept != "all");
        Some(Action::Negotiate(Negotiate { parties, subject: subject?, rounds, accept }))
    }

    fn workflow(&mut self, fields: &mut Fields<'_>) -> Action {
        Action::Workflow(Workflow {
            workflow: fields.fixed("workflow", &mut self.problems),
            plan: self.value_field(fields, "plan"),
            inputs: self.values_field(fields, "inputs"),
        })
    }

    fn call(&mut self, fields: &mut Fields<'_>) -> Option<Action> {
        let url = self.text_value_field(fields, "url");
        if url.is_none() {
            fields.missing("url", "where the call goes", &mut self.problems);
        }
        let call = Call {
            url: url.clone().unwrap_or_else(|| Value::text("")),
            method: fields.fixed("method", &mut self.problems),
            headers: self.values_field(fields, "headers"),
            body: self.value_field(fields, "body"),
            callback: fields.flag("callback", &mut self.problems).unwrap_or(true),
        };
        url.map(|_| Action::Call(call))
    }

    fn wait(&mut self, fields: &mut Fields<'_>) -> Action {
        let event = fields.take("event").and_then(|field| self.trigger(field.node));
        let duration = fields.duration("duration", &mut self.problems);
        Action::Wait(Wait { event: event.map(Box::new), duration })
    }

    /// Reads `context.variables`, which are constants.
    pub(super) fn constants(&mut self, field: Field<'_>) -> BTreeMap<String, ()> {
        let Some(entries) = field.node.entries() else {
            let message = format!("`variables` is a mapping, not {}", field.node.kind());
            self.problems.error(codes::FIELD_TYPE, field.node.place, message);
            return BTreeMap::new();
        };
        for (_, node) in entries {
            self.constant(node);
        }
        entries.iter().map(|(key, _)| (key.text.clone(), ())).collect()
    }

    fn constant(&mut self, node: &Node) {
        match &node.data {
            Data::Text(text) if text.contains("${") => {
                let message = "a variable is a constant, and `${…}` is not replaced in it";
                let hint = "write the expression where it is used";
                self.problems.push(codes::NOT_REPLACED, node.place, message, hint);
            }
            Data::Number(_, spelled) => self.spelled(spelled, node.place),
            Data::List(items) => items.iter().for_each(|item| self.constant(item)),
            Data::Map(entries) => entries.iter().for_each(|(_, item)| self.constant(item)),
            Data::Null | Data::Bool(_) | Data::Text(_) => {}
        }
    }
}

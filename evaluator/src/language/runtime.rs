//! One evaluation: sources to trees, trees to code, code to plans.
//!
//! Must not need anything from outside the request.

use std::collections::BTreeSet;

use plue_plan::{Code, Diagnostic, Span, limits};
use plue_wire::eval::{EvalOutcome, EvalRequest, RawPlan};
use pyo3::{
    prelude::*,
    types::{PyCode, PyCodeMethods as _, PyDict, PyList, PyTuple},
};

use super::{
    codes, context, failure, frames, names,
    policy::{self, Reach},
    prepared,
    source::SourceFile,
    state::{self, Ending, Module},
    survey,
    types::PyPlan,
};

/// The folder of modules in a repository.
const LIBRARY: &str = ".plue/lib/";
/// `ast.PyCF_ONLY_AST`
const ONLY_AST: u32 = 0x400;
/// The `__name__` of a workflow file.
const MODULE_NAME: &str = "workflow";

/// Cause why there are no plans.
enum Failure {
    /// Complete diagnostics of the problems.
    Found(Vec<Diagnostic>),
    /// An unread Python exception.
    Raised(PyErr),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl From<Diagnostic> for Failure {
    fn from(problem: Diagnostic) -> Self {
        Self::Found(vec![problem])
    }
}

/// Evaluates a request: the outcome and what was printed.
pub(crate) fn evaluate(py: Python<'_>, request: &EvalRequest) -> (EvalOutcome, String) {
    state::reset(request.facts.clone(), request.survey);
    let result = plans(py, request).and_then(|plans| raw(&plans, &request.entry));
    if request.survey {
        return (surveyed(py, result, &request.entry), printed_text());
    }
    let outcome = match (state::with(|state| state.ending.take()), result) {
        (Some(Ending::Needs(needs)), _) => EvalOutcome::Needs(needs),
        (Some(Ending::Printed), result) => failed(&[printed(py, &result, &request.entry)]),
        (None, Ok(plans)) => EvalOutcome::Plans(plans),
        (None, Err(Failure::Found(problems))) => failed(&problems),
        (None, Err(Failure::Raised(error))) => {
            let mut problem = failure::diagnose(py, &error);
            // Text of an exception may itself end the evaluation.
            if let Some(Ending::Needs(needs)) = state::with(|state| state.ending.take()) {
                return (EvalOutcome::Needs(needs), printed_text());
            }
            problem.span.get_or_insert_with(|| Span::at(&request.entry, 1, 1));
            failed(&[problem])
        }
    };
    (outcome, printed_text())
}

/// Everything that was found, and the plans as far as they could be made.
fn surveyed(py: Python<'_>, result: Result<Vec<RawPlan>, Failure>, entry: &str) -> EvalOutcome {
    let (drafts, last) = match result {
        Ok(drafts) => (drafts, Vec::new()),
        Err(Failure::Found(problems)) => (Vec::new(), problems),
        Err(Failure::Raised(error)) => {
            let mut problem = failure::diagnose(py, &error);
            problem.span.get_or_insert_with(|| Span::at(entry, 1, 1));
            // The exception may be a consequence of an absent module or name.
            let is_own = problem.code != codes::EXCEPTION || !survey::has_absent();
            (Vec::new(), if is_own { vec![problem] } else { Vec::new() })
        }
    };
    if let Some(Ending::Needs(needs)) = state::with(|state| state.ending.take()) {
        return EvalOutcome::Needs(needs);
    }
    survey::found(last);
    let problems = state::with(|state| std::mem::take(&mut state.survey.found));
    let diagnostics_json = serde_json::to_string(&problems).unwrap_or_else(|_| "[]".to_owned());
    EvalOutcome::Surveyed { diagnostics_json, drafts }
}

fn printed_text() -> String {
    state::with(|state| std::mem::take(&mut state.printed))
}

fn failed(problems: &[Diagnostic]) -> EvalOutcome {
    EvalOutcome::Failed {
        diagnostics_json: serde_json::to_string(problems).unwrap_or_else(|_| "[]".to_owned()),
    }
}

fn printed<T>(py: Python<'_>, result: &Result<T, Failure>, entry: &str) -> Diagnostic {
    let message = format!("the file printed more than {} bytes", plue_wire::eval::MAX_PRINT_BYTES);
    let mut problem = Diagnostic::error(codes::PRINT_LIMIT, message).at(Span::at(entry, 1, 1));
    if let Err(Failure::Raised(error)) = result {
        let raised = failure::diagnose(py, error);
        problem.span = raised.span.or(problem.span);
        problem.related = raised.related;
    }
    problem.hint("print less; long text belongs into a step")
}

/// Runs the file and its `workflow`.
fn plans<'py>(py: Python<'py>, request: &EvalRequest) -> Result<Vec<Bound<'py, PyPlan>>, Failure> {
    let code = load_all(py, request)?;
    let globals = state::fresh_globals(py, &survey::builtins(py)?, MODULE_NAME)?;
    code.run(Some(&globals), None)?;
    let result = call_workflow(py, &globals, request)?;
    returned(&result, &request.entry)
}

/// Checks and compiles the workflow file and every module that it imports, directly or not.
fn load_all<'py>(py: Python<'py>, request: &EvalRequest) -> Result<Bound<'py, PyCode>, Failure> {
    let library: BTreeSet<String> =
        request.sources.keys().filter_map(|path| module_name(path)).collect();
    let mut waiting = vec![(request.entry.clone(), None)];
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    let mut entry = None;
    while let Some((path, module)) = waiting.pop() {
        let loaded = match load(py, request, &path, &library) {
            Ok(loaded) => loaded,
            Err(Failure::Found(found)) => {
                problems.extend(found);
                continue;
            }
            Err(raised) => return Err(raised),
        };
        for name in loaded.imports {
            if seen.insert(name.clone()) {
                waiting.push((format!("{LIBRARY}{name}.py"), Some(name)));
            }
        }
        match (loaded.code, module) {
            (Err(found), _) => problems.extend(found),
            (Ok(code), None) => entry = Some(code),
            (Ok(code), Some(name)) => {
                let ready = Module::Ready(code.into_any().unbind());
                state::with(|state| state.modules.insert(name, ready));
            }
        }
    }
    match entry {
        Some(code) if problems.is_empty() => Ok(code),
        Some(_) | None => Err(Failure::Found(problems)),
    }
}

fn module_name(path: &str) -> Option<String> {
    let name = path.strip_prefix(LIBRARY)?.strip_suffix(".py")?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty();
    plain.then(|| name.to_owned())
}

/// A file that was read.
struct Loaded<'py> {
    /// Its imports of `.plue/lib`, whose problems are shown with those of this file.
    imports: BTreeSet<String>,
    /// Its code, or its violations of the policy.
    code: Result<Bound<'py, PyCode>, Vec<Diagnostic>>,
}

fn load<'py>(
    py: Python<'py>,
    request: &EvalRequest,
    path: &str,
    library: &BTreeSet<String>,
) -> Result<Loaded<'py>, Failure> {
    let Some(bytes) = request.sources.get(path) else {
        let message = format!("the request holds no source `{path}`");
        return Err(Diagnostic::error(codes::NO_SOURCE, message).into());
    };
    let file = SourceFile::check(path, &bytes.0).map_err(Failure::Found)?;
    let index = state::with(|state| {
        state.files.push(file.clone());
        state.files.len() - 1
    });
    let name = frames::file_name(index);
    let prepared = prepared::get(py)?;
    let compile = |source: &Bound<'py, PyAny>, flags: u32| -> Result<Bound<'py, PyAny>, Failure> {
        let arguments = (source, &name, "exec", flags, true, 0);
        let compiled = prepared.functions.compile.bind(py).call1(arguments);
        compiled.map_err(|error| failure::syntax(py, &error, &file).into())
    };
    let text = pyo3::types::PyString::new(py, &file.text).into_any();
    let mut tree = compile(&text, ONLY_AST)?;
    let check = |tree: &Bound<'py, PyAny>, reach| {
        policy::check(tree, &prepared.kinds, (index, &file), library, reach)
    };
    let mut checked = check(&tree, Reach::Named)?;
    if !checked.problems.is_empty() && file.text.contains(".python(") {
        // The problems may stand in functions that are the code of steps by a detour.
        let again = compile(&text, ONLY_AST)?;
        let wider = check(&again, Reach::Uncalled)?;
        if wider.problems.len() < checked.problems.len() {
            (tree, checked) = (again, wider);
        }
    }
    let imports = checked.imports;
    if !checked.problems.is_empty() {
        if !survey::forgives(&checked.problems) {
            return Ok(Loaded { imports, code: Err(checked.problems) });
        }
        survey::found(checked.problems);
    }
    state::with(|state| {
        state.functions.extend(checked.functions);
        state.survey.has_absent |= !checked.undefined.is_empty();
        state.survey.absent.extend(checked.undefined);
    });
    let code = compile(&tree, 0)?.cast_into::<PyCode>().map_err(PyErr::from)?;
    Ok(Loaded { imports, code: Ok(code) })
}

fn call_workflow<'py>(
    py: Python<'py>,
    globals: &Bound<'py, PyDict>,
    request: &EvalRequest,
) -> Result<Bound<'py, PyAny>, Failure> {
    let Some(workflow) = globals.get_item("workflow")? else {
        return Err(no_workflow(globals, &request.entry).into());
    };
    let wrong = |code: Code, message: &str| {
        let span = definition("workflow").unwrap_or_else(|| Span::at(&request.entry, 1, 1));
        Failure::from(
            Diagnostic::error(code, message)
                .at(span)
                .hint("write `def workflow():` or `def workflow(ctx):`"),
        )
    };
    if !workflow.is_callable() {
        return Err(wrong(codes::BAD_WORKFLOW, "`workflow` is not a function"));
    }
    match frames::parameters(&workflow) {
        None | Some((0, false)) => Ok(workflow.call0()?),
        Some((1, false)) => {
            let context = context::build(py, request)?;
            Ok(workflow.call1((context,))?)
        }
        Some(_) => {
            Err(wrong(codes::BAD_WORKFLOW, "`workflow` has no parameter or one, the context"))
        }
    }
}

fn no_workflow(globals: &Bound<'_, PyDict>, entry: &str) -> Diagnostic {
    let known: Vec<String> = globals.keys().iter().filter_map(|key| key.extract().ok()).collect();
    let plain = known.iter().map(String::as_str).filter(|name| !name.starts_with("__"));
    let hint = names::suggestion("workflow", plain)
        .unwrap_or_else(|| "write `def workflow():` and return a Plan".to_owned());
    Diagnostic::error(codes::NO_WORKFLOW, "the file has no function `workflow`")
        .at(Span::at(entry, 1, 1))
        .hint(hint)
}

/// The place of a function of the workflow file.
fn definition(name: &str) -> Option<Span> {
    state::with(|state| {
        let function = state.functions.iter().find(|f| f.file == 0 && f.name == name)?;
        Some(Span::at(&state.files.first()?.path, function.first_line, 1))
    })
}

fn returned<'py>(
    result: &Bound<'py, PyAny>,
    entry: &str,
) -> Result<Vec<Bound<'py, PyPlan>>, Failure> {
    let wrong = |code: Code, message: String, hint: &str| {
        let span = definition("workflow").unwrap_or_else(|| Span::at(entry, 1, 1));
        Failure::from(Diagnostic::error(code, message).at(span).hint(hint))
    };
    if let Ok(plan) = result.cast::<PyPlan>() {
        return Ok(vec![plan.clone()]);
    }
    let items: Vec<Bound<'py, PyAny>> = if let Ok(list) = result.cast::<PyList>() {
        list.iter().collect()
    } else if let Ok(tuple) = result.cast::<PyTuple>() {
        tuple.iter().collect()
    } else {
        let kind = super::types::kind_of(result);
        let message = format!("`workflow` returned {kind}, not a Plan or a list of Plans");
        let hint = if result.is_none() { "add `return Plan(…)`" } else { "return Plan(…)" };
        return Err(wrong(codes::BAD_RETURN, message, hint));
    };
    if items.is_empty() || items.len() > limits::MAX_PLANS_PER_FILE {
        let message = format!(
            "`workflow` returned {} plans; it returns 1 to {}",
            items.len(),
            limits::MAX_PLANS_PER_FILE
        );
        return Err(wrong(codes::TOO_MANY_PLANS, message, "return Plan(…)"));
    }
    let mut plans = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Ok(plan) = item.cast::<PyPlan>() else {
            let kind = super::types::kind_of(item);
            let message = format!("item {index} of what `workflow` returned is {kind}, not a Plan");
            return Err(wrong(codes::BAD_RETURN, message, "return a list of Plans"));
        };
        plans.push(plan.clone());
    }
    Ok(plans)
}

fn raw(plans: &[Bound<'_, PyPlan>], entry: &str) -> Result<Vec<RawPlan>, Failure> {
    let unwritable = |error: serde_json::Error| {
        let message = format!("the plan cannot be written as JSON: {error}");
        Failure::from(Diagnostic::error(codes::NOT_JSON, message).at(Span::at(entry, 1, 1)))
    };
    plans
        .iter()
        .map(|plan| {
            let plan = plan.get();
            Ok(RawPlan {
                plan_json: serde_json::to_string(&plan.plan).map_err(unwritable)?,
                places_json: serde_json::to_string(&plan.places).map_err(unwritable)?,
            })
        })
        .collect()
}

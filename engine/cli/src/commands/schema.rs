//! `plue schema`: the published JSON Schemas, built in.

use plue_plan::{schema, validate::did_you_mean};

use crate::{
    args::SchemaArgs,
    exit::Exit,
    failure::{Failure, Outcome},
    output, records,
};

pub(super) fn run(args: &SchemaArgs) -> Outcome {
    // Schemas of the plan's types, then of the command line's documents.
    let mut all = schema::ALL
        .iter()
        .chain(&records::ALL)
        .chain(&records::texts::ALL)
        .chain(&records::event::ALL)
        .chain(&records::server::ALL)
        .chain(&plue_spec::workflow::schema::ALL);
    let Some(name) = &args.name else {
        all.try_for_each(|published| output::line(published.name))?;
        return Ok(Exit::Ok);
    };
    let names: Vec<_> = all.clone().map(|published| published.name).collect();
    let published = all.find(|published| published.name == name).ok_or_else(|| {
        let near = did_you_mean(name, names.iter().copied());
        Failure::not_found(format!("there is no schema `{name}`")).hint(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known schemas are {}", names.join(", ")),
        })
    })?;
    output::pretty(&(published.schema)())?;
    Ok(Exit::Ok)
}

//! `plue schema`: the published JSON Schemas, built in.

use crate::{
    args::SchemaArgs,
    exit::Exit,
    failure::{Failure, Outcome},
};

pub(super) fn run(args: &SchemaArgs) -> Outcome {
    let schemas = plue_plan::schema::ALL;
    let Some(name) = &args.name else {
        schemas.iter().for_each(|published| println!("{}", published.name));
        return Ok(Exit::Ok);
    };
    let found = schemas.iter().find(|published| published.name == name);
    let published = found.ok_or_else(|| {
        let names: Vec<_> = schemas.iter().map(|published| published.name).collect();
        Failure::not_found(format!("there is no schema `{name}`"))
            .hint(format!("known schemas are {}", names.join(", ")))
    })?;
    let text = serde_json::to_string_pretty(&(published.schema)()).map_err(|error| Failure::infrastructure(&error))?;
    println!("{text}");
    Ok(Exit::Ok)
}

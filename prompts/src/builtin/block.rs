//! `if`, `unless`, `each` and `with`: blocks that refuse a missing value, unless the schema declares it
//! as optional, and count their work.
//!
//! Must not decide what is printed. The block contexts follow the crate's own helpers, so that
//! `@index`, `../` and `as |x|` mean the same.

use handlebars::{
    BlockContext, BlockParams, Context, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy,
    Output, PathAndJson, RenderContext, RenderError, Renderable, Template,
    template::TemplateElement,
};
use serde_json::Value as Json;

use super::{Meter, Optional, called, kind, present, wrong};
use crate::limits::ELEMENT_WORK;

struct Condition {
    meter: Meter,
    optional: Optional,
    /// The truth that opens the block.
    opens: bool,
}

struct Each(Meter, Optional);

struct With(Meter, Optional);

pub(super) fn register(registry: &mut Handlebars<'_>, meter: &Meter, optional: &Optional) {
    for (name, opens) in [("if", true), ("unless", false)] {
        let (meter, optional) = (meter.clone(), optional.clone());
        registry.register_helper(name, Box::new(Condition { meter, optional, opens }));
    }
    registry.register_helper("each", Box::new(Each(meter.clone(), optional.clone())));
    registry.register_helper("with", Box::new(With(meter.clone(), optional.clone())));
}

/// The pieces that one pass through a template renders, blocks inside it taken once.
pub(crate) fn weight(template: &Template) -> u64 {
    let inner = |element: &TemplateElement| match element {
        TemplateElement::HelperBlock(block) => {
            let parts = [&block.template, &block.inverse];
            parts.into_iter().flatten().map(weight).sum()
        }
        // Partials pay when they are entered.
        _ => 0,
    };
    template.elements.iter().map(|element| 1 + inner(element)).sum()
}

fn otherwise<'reg: 'rc, 'rc>(
    h: &Helper<'rc>,
    r: &'reg Handlebars<'reg>,
    ctx: &'rc Context,
    rc: &mut RenderContext<'reg, 'rc>,
    out: &mut dyn Output,
) -> HelperResult {
    match h.inverse() {
        Some(template) => template.render(r, ctx, rc, out),
        None => Ok(()),
    }
}

/// A context that looks at a value: by its path in the inputs, or by a copy.
fn look_at<'rc>(argument: &PathAndJson<'rc>) -> BlockContext<'rc> {
    let mut block = BlockContext::new();
    match argument.context_path() {
        Some(path) => block.base_path_mut().clone_from(path),
        None => block.set_base_value(argument.value().clone()),
    }
    block
}

// === impl Condition ===

impl HelperDef for Condition {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        r: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = self.optional.value(rc, h.param(0))?;
        if let Some(argument) = h.param(0) {
            self.meter.copied(argument)?;
        }
        let include_zero = match h.hash_get("includeZero") {
            Some(flag) => present(Some(flag))?.as_bool().unwrap_or(false),
            None => false,
        };
        if value.is_truthy(include_zero) != self.opens {
            return otherwise(h, r, ctx, rc, out);
        }
        match h.template() {
            Some(template) => template.render(r, ctx, rc, out),
            None => Ok(()),
        }
    }
}

// === impl With ===

impl HelperDef for With {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        r: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = self.1.value(rc, h.param(0))?;
        let (Some(argument), Some(template)) = (h.param(0), h.template()) else {
            return Ok(());
        };
        self.0.copied(argument)?;
        if !value.is_truthy(true) {
            return otherwise(h, r, ctx, rc, out);
        }
        let mut block = look_at(argument);
        if let Some(name) = h.block_param() {
            let mut names = BlockParams::new();
            match argument.context_path() {
                Some(_) => names.add_path(name, Vec::new())?,
                None => names.add_value(name, value.clone())?,
            }
            block.set_block_params(names);
        }
        rc.push_block(block);
        let result = template.render(r, ctx, rc, out);
        rc.pop_block();
        result
    }
}

// === impl Each ===

/// One pass of `each`.
struct Pass<'a> {
    at: usize,
    of: usize,
    key: Option<&'a str>,
    item: &'a Json,
}

impl HelperDef for Each {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        r: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = self.1.value(rc, h.param(0))?;
        let (Some(argument), Some(template)) = (h.param(0), h.template()) else {
            return Ok(());
        };
        let entries = entries(argument, value)?;
        if entries.is_empty() {
            return otherwise(h, r, ctx, rc, out);
        }
        let passes = entries.len() as u64;
        self.0.copied(argument)?;
        self.0.copied(argument)?;
        let pass_work = weight(template).saturating_add(2).saturating_mul(ELEMENT_WORK);
        self.0.spend(passes.saturating_mul(pass_work))?;

        rc.push_block(look_at(argument));
        let of = entries.len();
        for (at, (key, item)) in entries.into_iter().enumerate() {
            if let Some(block) = rc.block_mut() {
                let pass = Pass { at, of, key, item };
                enter(block, h, argument, &pass)?;
            }
            template.render(r, ctx, rc, out)?;
        }
        rc.pop_block();
        Ok(())
    }
}

/// The items of a list or the entries of an object. Null and false are empty, as in Handlebars.
fn entries<'a>(
    argument: &PathAndJson<'_>,
    value: &'a Json,
) -> Result<Vec<(Option<&'a str>, &'a Json)>, RenderError> {
    match value {
        Json::Array(items) => Ok(items.iter().map(|item| (None, item)).collect()),
        Json::Object(map) => {
            let entry = |(key, item): (&'a String, &'a Json)| (Some(key.as_str()), item);
            Ok(map.iter().map(entry).collect())
        }
        Json::Null | Json::Bool(false) => Ok(Vec::new()),
        Json::Bool(true) | Json::Number(_) | Json::String(_) => Err(wrong(
            format!(
                "{} is {}, and `each` needs a list or an object",
                called(argument),
                kind(value)
            ),
            "to test a value, use `#if`",
        )),
    }
}

fn enter<'rc>(
    block: &mut BlockContext<'rc>,
    h: &Helper<'rc>,
    argument: &PathAndJson<'rc>,
    pass: &Pass<'_>,
) -> Result<(), RenderError> {
    let place = pass.key.map_or_else(|| Json::from(pass.at), Json::from);
    block.set_local_var("first", Json::Bool(pass.at == 0));
    block.set_local_var("last", Json::Bool(pass.at + 1 == pass.of));
    block.set_local_var("index", Json::from(pass.at));
    block.set_local_var("key", place.clone());
    let by_path = argument.context_path();
    match by_path {
        Some(path) => {
            let mut path = path.clone();
            path.push(pass.key.map_or_else(|| pass.at.to_string(), str::to_owned));
            *block.base_path_mut() = path;
        }
        None => block.set_base_value(pass.item.clone()),
    }
    let (item_name, place_name) = match h.block_param_pair() {
        Some((item, place)) => (Some(item), Some(place)),
        None => (h.block_param(), None),
    };
    let mut names = BlockParams::new();
    match (item_name, by_path) {
        (Some(name), Some(_)) => names.add_path(name, Vec::new())?,
        (Some(name), None) => names.add_value(name, pass.item.clone())?,
        (None, _) => {}
    }
    if let Some(name) = place_name {
        names.add_value(name, place)?;
    }
    block.set_block_params(names);
    Ok(())
}

//! Programs put together from fragments that parse, so that the policy and the guards are reached:
//! names, attributes and calls that attacks are made of. No loops, so that every program ends.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

#[path = "embedded.rs"]
mod embedded;

const NAMES: [&str; 24] = [
    "Plan", "Step", "Trigger", "type", "getattr", "hasattr", "str", "list", "dict", "print", "x", "y",
    "super", "object", "isinstance", "sorted", "repr", "format", "json", "re", "dataclass", "Enum",
    "namedtuple", "partial",
];
const ATTRIBUTES: [&str; 20] = [
    "name", "bash", "__class__", "__name__", "format", "_x", "gi_frame", "__globals__", "items", "join",
    "mro", "register", "on_push", "steps", "__dict__", "dumps", "compile", "append", "__init__", "value",
];

#[derive(Debug, Arbitrary)]
enum Expression {
    Name(u8),
    Number(i16),
    Text(String),
    Attribute(Box<Expression>, u8),
    Call(Box<Expression>, Vec<Expression>),
    Keyword(Box<Expression>, u8, Box<Expression>),
    List(Vec<Expression>),
    Lambda(Box<Expression>),
    Index(Box<Expression>, Box<Expression>),
    Plus(Box<Expression>, Box<Expression>),
    Formatted(Box<Expression>),
}

#[derive(Debug, Arbitrary)]
enum Statement {
    Assign(u8, Expression),
    Attribute(Expression, u8, Expression),
    Class(u8, Option<Expression>, u8, Expression),
    Function(u8, Expression, Expression),
    Try(Expression, u8),
    Match(Expression, u8, u8),
    Import(u8, u8),
    Bare(Expression),
}

#[derive(Debug, Arbitrary)]
struct Program {
    statements: Vec<Statement>,
    result: Expression,
}

fn pick<'a>(from: &[&'a str], index: u8) -> &'a str {
    from[usize::from(index) % from.len()]
}

fn name(index: u8) -> &'static str {
    pick(&NAMES, index)
}

fn attribute(index: u8) -> &'static str {
    pick(&ATTRIBUTES, index)
}

fn list(items: &[Expression]) -> String {
    items.iter().map(write).collect::<Vec<_>>().join(", ")
}

fn write(expression: &Expression) -> String {
    match expression {
        Expression::Name(index) => name(*index).to_owned(),
        Expression::Number(number) => format!("({number})"),
        Expression::Text(text) => {
            let plain: String = text.chars().filter(|letter| letter.is_ascii_graphic()).collect();
            format!("'{}'", plain.replace(['\\', '\''], ""))
        }
        Expression::Attribute(of, index) => format!("({}).{}", write(of), attribute(*index)),
        Expression::Call(of, arguments) => format!("({})({})", write(of), list(arguments)),
        Expression::Keyword(of, index, value) => {
            format!("({})({}={})", write(of), attribute(*index), write(value))
        }
        Expression::List(items) => format!("[{}]", list(items)),
        Expression::Lambda(body) => format!("(lambda x: {})", write(body)),
        Expression::Index(of, index) => format!("({})[{}]", write(of), write(index)),
        Expression::Plus(one, other) => format!("({} + {})", write(one), write(other)),
        Expression::Formatted(value) => format!("f'{{({})!r}}'", write(value).replace(['\'', '\\'], "")),
    }
}

fn line(statement: &Statement) -> String {
    match statement {
        Statement::Assign(to, value) => format!("{} = {}", name(*to), write(value)),
        Statement::Attribute(of, to, value) => {
            format!("({}).{} = {}", write(of), attribute(*to), write(value))
        }
        Statement::Class(called, base, field, value) => format!(
            "class {}({}):\n        {} = {}",
            name(*called),
            base.as_ref().map(write).unwrap_or_default(),
            attribute(*field),
            write(value)
        ),
        Statement::Function(called, default, body) => {
            format!("def {}(x={}):\n        return {}", name(*called), write(default), write(body))
        }
        Statement::Try(body, caught) => format!(
            "try:\n        {}\n    except Exception as {}:\n        pass",
            write(body),
            name(*caught)
        ),
        Statement::Match(value, class, keyword) => format!(
            "match {}:\n        case {}({}=y):\n            pass",
            write(value),
            name(*class),
            attribute(*keyword)
        ),
        Statement::Import(module, imported) => {
            format!("from {} import {}", name(*module), attribute(*imported))
        }
        Statement::Bare(value) => write(value),
    }
}

fuzz_target!(|program: Program| {
    let body: String =
        program.statements.iter().map(|statement| format!("    {}\n", line(statement))).collect();
    let source = format!(
        "import json, re\nfrom collections import namedtuple\nfrom dataclasses import dataclass\n\
         from enum import Enum\nfrom functools import partial\n\
         x = y = 1\ndef workflow():\n{body}    return {}\n",
        write(&program.result)
    );
    embedded::evaluate(source.as_bytes());
});

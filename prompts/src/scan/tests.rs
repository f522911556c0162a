//! The count of nesting is never lower than the nesting that the Handlebars crate finds.

use handlebars::{
    Template,
    template::{HelperTemplate, TemplateElement},
};
use proptest::{collection::vec, prelude::*};

use super::scan;
use crate::codes;

fn depth(template: &Template) -> usize {
    template.elements.iter().map(depth_of).max().unwrap_or(0)
}

fn depth_of(element: &TemplateElement) -> usize {
    match element {
        // A raw block holds text only.
        TemplateElement::HelperBlock(block) if block.name.as_name() == Some("raw") => 0,
        TemplateElement::HelperBlock(block) => 1 + inside(block),
        TemplateElement::DecoratorBlock(block) | TemplateElement::PartialBlock(block) => {
            1 + block.template.as_ref().map_or(0, depth)
        }
        _ => 0,
    }
}

fn inside(block: &HelperTemplate) -> usize {
    let parts = [&block.template, &block.inverse];
    parts.into_iter().flatten().map(depth).max().unwrap_or(0)
}

fn pieces() -> impl Strategy<Value = String> {
    let known = vec![
        "{{#if a}}",
        "{{#each b}}",
        "{{/if}}",
        "{{/each}}",
        "{{else}}",
        "{{else if c}}",
        "{{^}}",
        "{{^if d}}",
        "{{ #if a }}",
        "{{~#if a~}}",
        "{{\n#if a}}",
        "{{!-- {{/if}} --}}",
        "{{! {{#if }}",
        "{{json \"}}\"}}",
        "{{json '{{/if}}'}}",
        "{{a.[x]}}",
        "{{a.[\"}}]}}",
        "{{json [\"]\"]}}",
        "\\{{#if a}}",
        "\\\\{{#if a}}",
        "\\\\\\{{/if}}",
        "{{{{raw}}}}",
        "{{{{/raw}}}}",
        "{{{a}}}",
        "{{~{a}~}}",
        "{{#*inline \"x\"}}",
        "{{/inline}}",
        "{{#> p}}",
        "{{/p}}",
        "\"",
        "'",
        "]",
        "}}",
        "text",
        "\\",
        "{",
        "{{json {\"a\": {\"b\": \"}}\"}}}}",
        "{{else}}{{else}}",
        "{{ / if }}",
    ];
    vec(prop::sample::select(known), 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_count_is_an_upper_bound(text in pieces()) {
        if let (Ok(counted), Ok(template)) = (scan(&text), Template::compile(&text)) {
            prop_assert!(counted >= depth(&template), "{counted} for {text}");
        }
    }
}

#[test]
fn ordinary_nesting_is_counted_as_it_is() {
    for (text, wanted) in [
        ("", 0),
        ("{{a}}", 0),
        ("{{#if a}}{{/if}}{{#if b}}{{/if}}", 1),
        ("{{#if a}}{{#each b}}x{{/each}}{{/if}}", 2),
        ("{{#if a}}x{{else if b}}y{{else}}z{{/if}}", 2),
        ("{{!-- {{#if a}} --}}", 0),
        ("{{{{raw}}}}{{#if a}}{{{{/raw}}}}", 0),
        ("\\{{#if a}}", 0),
    ] {
        assert_eq!(scan(text), Ok(wanted), "{text}");
    }
}

#[test]
fn a_fault_has_the_place_of_its_tag() {
    let fault = scan("ab {{#if a}}{{json {}}}").unwrap_err();
    assert_eq!((fault.code, fault.offset), (codes::UNSUPPORTED_TAG, 12));
}

//! Samples of each gate about the shape of items: a bad one fails, a good one passes.

use super::{fields, impl_files, tuple_arguments};
use crate::tidy::tree::Tree;

fn lines(text: &str) -> Vec<usize> {
    let tree = Tree::of(&[("a/src/b.rs", text)]);
    tuple_arguments(&tree).iter().map(|found| found.line).collect()
}

#[test]
fn tuples_as_parameters_are_refused() {
    assert_eq!(lines("fn a(b: (C, D)) {}\n"), [1]);
    assert_eq!(lines("fn a<T: Fn(C) -> D>(\n    self,\n    (b, c): &'a mut (C, D),\n) {}\n"), [3]);
    assert_eq!(lines("impl A { async fn a(&self, b: (Map<C, D>, E)) {} }\n"), [1]);
}

#[test]
fn tuples_inside_other_types_are_fine() {
    let good = "fn a(b: &[(C, D)], c: (E), d: (), f: impl Fn(C, D) -> (E, F)) -> (C, D) {}\n\
                fn g() { b.map(|(c, d): (C, D)| c); }\n";
    assert_eq!(lines(good), [0; 0]);
}

fn of_struct(fields_of: &str) -> usize {
    fields(&Tree::of(&[("a/src/b.rs", fields_of)])).len()
}

#[test]
fn structs_have_at_most_twelve_fields() {
    let with = |count: usize| {
        let list: String = (0..count)
            .map(|at| format!("    /// A.\n    #[b(c, d)]\n    f{at}: Map<K, V>,\n"))
            .collect();
        format!("pub struct A<T: B>\nwhere\n    T: C,\n{{\n{list}}}\n")
    };
    assert_eq!(of_struct(&with(12)), 0);
    assert_eq!(of_struct(&with(13)), 1);
    assert_eq!(of_struct("struct A(u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8);\n"), 1);
    assert_eq!(
        of_struct("struct A;\nfn b() { c(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13) }\n"),
        0
    );
}

fn of_impl(files: &[(&str, &str)]) -> Vec<String> {
    let mut all = vec![("a/Cargo.toml", "[package]\nname = \"a\"\n")];
    all.extend_from_slice(files);
    impl_files(&Tree::of(&all)).into_iter().map(|found| found.path).collect()
}

#[test]
fn inherent_impls_stand_in_at_most_three_files() {
    let files = [
        ("a/src/run.rs", "pub struct Run<T>(T);\nimpl<T> Run<T> {}\n"),
        ("a/src/run/a.rs", "impl<T> super::Run<T> where T: B {}\n"),
        ("a/src/run/b.rs", "impl<T> Run<T> {}\nimpl<T> Run<T> {}\n"),
        ("a/src/run/c.rs", "impl Run<u8> {}\n"),
    ];
    assert_eq!(of_impl(&files), ["a/src/run.rs"]);
    assert_eq!(of_impl(&files[..3]), [""; 0]);
}

#[test]
fn impls_of_traits_do_not_count() {
    let files = [
        ("a/src/run.rs", "pub struct Run;\nimpl Run {}\n"),
        ("a/src/run/a.rs", "impl From<Run> for Run {}\nfn b() -> impl Run {}\n"),
        ("a/src/run/b.rs", "impl<T: C> B<T> for Run {}\n"),
        ("a/src/run/c.rs", "impl Display for Run {}\n"),
    ];
    assert_eq!(of_impl(&files), [""; 0]);
}

#[test]
fn types_of_one_name_differ_by_their_files() {
    let one = "struct Row;\nimpl Row {}\n";
    let files =
        [("a/src/a.rs", one), ("a/src/b.rs", one), ("a/src/c.rs", one), ("a/src/d.rs", one)];
    assert_eq!(of_impl(&files), [""; 0]);
}

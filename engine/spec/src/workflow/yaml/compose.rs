//! From the events of the parser to a tree: anchors and aliases, merge keys, duplicate keys, tags.

use std::collections::{HashMap, HashSet};

use plue_plan::diagnostic::Related;
use serde_saphyr::granit_parser::{
    self, ErrorKind, Event, Parser, ScalarStyle, Span as Marks, StrInput, Tag,
};

use super::{
    Data, Format, Key, MAX_ALIASED_BYTES, MAX_DEPTH, MAX_NODES, Node, SourcePosition, scalar,
};
use crate::{codes, workflow::problems::Problems};

/// The key whose value is merged into its mapping.
const MERGE: &str = "<<";

/// The tree of the one document of a text.
pub(super) fn compose(source: &str, format: Format, problems: &mut Problems<'_>) -> Option<Node> {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    if format == Format::Json {
        options.simple_key_max_lookahead = source.len().max(1);
    }
    let mut parser = Parser::new_from_str_with_options(source, options);
    let mut composer = Composer {
        problems,
        language: if format == Format::Json { "JSON" } else { "YAML" },
        stack: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        documents: 0,
        nodes: 0,
        aliased_bytes: 0,
    };
    composer.run(&mut parser).then_some(composer.root).flatten()
}

struct Composer<'c, 'p> {
    problems: &'c mut Problems<'p>,
    language: &'static str,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Measured>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    aliased_bytes: usize,
}

/// A value and what a copy of it costs.
#[derive(Clone)]
struct Measured {
    node: Node,
    height: usize,
    nodes: usize,
    bytes: usize,
}

/// A collection that is being read.
struct Frame {
    place: SourcePosition,
    anchor: usize,
    height: usize,
    nodes: usize,
    bytes: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<(Key, Node)>,
        seen: HashMap<String, SourcePosition>,
        key: Option<Option<Key>>,
    },
}

type Source<'s> = Parser<'s, StrInput<'s>>;

// === impl Composer ===

impl Composer<'_, '_> {
    /// Composes all events; true if the text was read to its end.
    fn run(&mut self, parser: &mut Source<'_>) -> bool {
        while let Some(next) = parser.next_event() {
            let (event, marks) = match next {
                Ok(next) => next,
                Err(error) => {
                    self.syntax(&error);
                    return false;
                }
            };
            if !self.event(event, place(marks)) {
                return false;
            }
        }
        true
    }

    fn syntax(&mut self, error: &granit_parser::ScanError) {
        let mark = error.marker();
        let at = SourcePosition::point(mark.line(), mark.col() + 1);
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => self.too_deep(at),
            ErrorKind::UnknownAnchor => {
                let message = "this alias names no anchor (`&name`) that stands before it";
                let hint = "a text that begins with `*` is written in quotes";
                self.problems.push(codes::BAD_ALIAS, at, message, hint);
            }
            ErrorKind::TabInBlockIndentation => {
                let message = "a tab cannot indent YAML";
                self.problems.push(codes::NOT_YAML, at, message, "indent with spaces");
            }
            ErrorKind::MappingValueNotAllowed => {
                let message = "this is not YAML: a second `: ` on one line";
                let hint = "put a text that holds `: ` in quotes, and check the line above";
                self.problems.push(codes::NOT_YAML, at, message, hint);
            }
            _ => {
                let info = error.info();
                let message = format!("this is not {}: {info}", self.language);
                self.problems.error(codes::NOT_YAML, at, message);
            }
        }
    }

    fn too_deep(&mut self, at: SourcePosition) {
        let message = format!("this is nested deeper than {MAX_DEPTH} levels");
        self.problems.error(codes::TOO_DEEP, at, message);
    }

    /// Takes one event; false to stop.
    fn event(&mut self, event: Event<'_>, at: SourcePosition) -> bool {
        match event {
            Event::DocumentStart(..) => return self.document(at),
            Event::Scalar(text, style, anchor, tag) => {
                let data = self.scalar(&text, style, tag.as_deref(), at);
                let bytes = text.len();
                if !self.count(1, at) {
                    return false;
                }
                let node = Node { data, place: at };
                return self.complete(Measured { node, height: 1, nodes: 1, bytes }, anchor);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", at);
                return self.open(Content::List(Vec::new()), anchor, at);
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", at);
                let (entries, seen) = (Vec::new(), HashMap::new());
                return self.open(Content::Map { entries, seen, key: None }, anchor, at);
            }
            Event::SequenceEnd | Event::MappingEnd => return self.close(at),
            Event::Alias(anchor) => return self.alias(anchor, at),
            // Ends, and events of options that are not set.
            _ => {}
        }
        true
    }

    fn document(&mut self, at: SourcePosition) -> bool {
        self.documents += 1;
        if self.documents == 1 {
            return true;
        }
        let message = "a second document begins here, and a file holds one workflow";
        let hint = "write each workflow into a file of its own";
        self.problems.push(codes::SEVERAL_DOCUMENTS, at, message, hint);
        false
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: SourcePosition,
    ) -> Data {
        let plain = style == ScalarStyle::Plain;
        let tag = tag.map(|tag| tag.core_suffix().unwrap_or(""));
        let resolved = match tag {
            Some("str" | "") => Ok(Data::Text(text.to_owned())),
            Some(_) => scalar::resolve(text),
            None if plain => scalar::resolve(text),
            None => Ok(Data::Text(text.to_owned())),
        };
        let fits = match (tag, &resolved) {
            (None, _) | (Some("str"), _) | (_, Err(_)) => true,
            (Some("int"), Ok(Data::Number(number, _))) => !number.is_f64(),
            (Some("float"), Ok(data)) => matches!(data, Data::Number(..)),
            (Some("bool"), Ok(data)) => matches!(data, Data::Bool(_)),
            (Some("null"), Ok(data)) => matches!(data, Data::Null),
            (Some(_), Ok(_)) => false,
        };
        if !fits {
            let message = "this tag is none of YAML's own, or its value does not fit";
            self.problems.push(codes::BAD_TAG, at, message, "leave the tag out");
        }
        resolved.unwrap_or_else(|why| {
            let hint = "write it in quotes if a text is meant";
            self.problems.push(codes::FIELD_VALUE, at, format!("this {why}"), hint);
            Data::Null
        })
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, own: &str, at: SourcePosition) {
        if tag.is_some_and(|tag| tag.core_suffix() != Some(own)) {
            let message = "this tag is none of YAML's own, or its value does not fit";
            self.problems.push(codes::BAD_TAG, at, message, "leave the tag out");
        }
    }

    fn open(&mut self, content: Content, anchor: usize, place: SourcePosition) -> bool {
        if self.stack.len() >= MAX_DEPTH {
            self.too_deep(place);
            return false;
        }
        if !self.count(1, place) {
            return false;
        }
        self.stack.push(Frame { place, anchor, height: 0, nodes: 0, bytes: 0, content });
        true
    }

    fn close(&mut self, end: SourcePosition) -> bool {
        let Some(frame) = self.stack.pop() else {
            return true;
        };
        let mut place = frame.place;
        (place.end_line, place.end_column) = (end.end_line, end.end_column);
        place.bytes.1 = end.bytes.1;
        let data = match frame.content {
            Content::List(items) => Data::List(items),
            Content::Map { entries, .. } => Data::Map(self.merged(entries)),
        };
        let node = Node { data, place };
        let (height, nodes) = (frame.height + 1, frame.nodes + 1);
        self.complete(Measured { node, height, nodes, bytes: frame.bytes }, frame.anchor)
    }

    fn alias(&mut self, anchor: usize, at: SourcePosition) -> bool {
        let Some(target) = self.anchors.get(&anchor) else {
            let message = "this alias stands inside what it names";
            self.problems.error(codes::BAD_ALIAS, at, message);
            return false;
        };
        if self.stack.len() + target.height > MAX_DEPTH {
            self.too_deep(at);
            return false;
        }
        let (nodes, bytes) = (target.nodes, target.bytes);
        self.aliased_bytes += bytes;
        if self.aliased_bytes > MAX_ALIASED_BYTES {
            let message = format!("aliases stand for more than {MAX_ALIASED_BYTES} bytes of text");
            self.problems.error(codes::BAD_ALIAS, at, message);
            return false;
        }
        // Checked before the copy is made.
        if self.nodes + nodes > MAX_NODES {
            let message = format!("aliases stand for more than {MAX_NODES} values");
            self.problems.error(codes::BAD_ALIAS, at, message);
            return false;
        }
        self.nodes += nodes;
        let Some(mut copy) = self.anchors.get(&anchor).cloned() else {
            return false;
        };
        copy.node.place = at;
        self.complete(copy, 0)
    }

    /// True if so many more values are within the limit.
    fn count(&mut self, nodes: usize, at: SourcePosition) -> bool {
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return true;
        }
        let message = format!("the file holds more than {MAX_NODES} values, aliases followed");
        self.problems.error(codes::FILE_TOO_LARGE, at, message);
        false
    }

    /// A whole value: it goes to where it belongs.
    fn complete(&mut self, value: Measured, anchor: usize) -> bool {
        if anchor != 0 {
            // The copy for aliases counts too.
            if !self.count(value.nodes, value.node.place) {
                return false;
            }
            self.anchors.insert(anchor, value.clone());
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(value.node);
            return true;
        };
        frame.height = frame.height.max(value.height);
        frame.nodes += value.nodes;
        frame.bytes += value.bytes;
        match &mut frame.content {
            Content::List(items) => items.push(value.node),
            Content::Map { entries, seen, key } => match key.take() {
                None => *key = Some(take_key(value.node, seen, self.problems)),
                Some(None) => {}
                Some(Some(key)) => entries.push((key, value.node)),
            },
        }
        true
    }

    /// The entries, with those of `<<` behind them; what is written out wins.
    fn merged(&mut self, entries: Vec<(Key, Node)>) -> Vec<(Key, Node)> {
        if !entries.iter().any(|(key, _)| is_merge(key)) {
            return entries;
        }
        let (merges, mut kept): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(key, _)| is_merge(key));
        let mut seen: HashSet<String> = kept.iter().map(|(key, _)| key.text.clone()).collect();
        for (key, node) in merges {
            let sources = match node.data {
                Data::List(items) => items,
                _ => vec![node],
            };
            for source in sources {
                let Data::Map(more) = source.data else {
                    let message = "`<<` takes a mapping or a list of mappings";
                    self.problems.error(codes::BAD_KEY, key.place, message);
                    continue;
                };
                kept.extend(more.into_iter().filter(|(key, _)| seen.insert(key.text.clone())));
            }
        }
        kept
    }
}

/// True if the key is a plain `<<`. In quotes it is an ordinary text, so in JSON it always is.
fn is_merge(key: &Key) -> bool {
    let (from, to) = key.place.bytes;
    key.text == MERGE && to.saturating_sub(from) <= MERGE.len()
}

/// The text of a key; `None` after a report for an invalid or a duplicate key.
fn take_key(
    node: Node,
    seen: &mut HashMap<String, SourcePosition>,
    problems: &mut Problems<'_>,
) -> Option<Key> {
    let place = node.place;
    let text = match node.data {
        Data::Text(text) => text,
        Data::Number(_, spelled) => spelled,
        Data::Bool(truth) => truth.to_string(),
        Data::Null | Data::List(_) | Data::Map(_) => {
            problems.error(codes::BAD_KEY, place, "the key of a mapping is a text");
            return None;
        }
    };
    if let Some(first) = seen.get(&text) {
        let shown = crate::workflow::problems::quoted(&text);
        let related = problems
            .span(*first)
            .map(|span| Related { message: "it stands here first".to_owned(), span });
        let message = format!("the key {shown} stands twice in one mapping");
        problems.error(codes::SAME_KEY, place, message);
        problems.relate(related);
        return None;
    }
    seen.insert(text.clone(), place);
    Some(Key { text, place })
}

fn place(marks: Marks) -> SourcePosition {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (start, end) = (marks.start, marks.end);
    let bytes = marks.byte_range().map_or((0, 0), |range| (range.start, range.end));
    SourcePosition {
        line: number(start.line()),
        column: number(start.col() + 1),
        end_line: number(end.line()),
        end_column: number(end.col() + 1),
        bytes,
    }
}

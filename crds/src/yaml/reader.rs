//! From YAML text to trees, one for each document.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser's events and errors may grow; an unknown one is refused"
)]

use std::{collections::BTreeMap, rc::Rc};

use serde_saphyr::granit_parser::{
    ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag, options,
};

use super::{Entry, Node, Scalar, Value};
use crate::problem::{Mistake, Position};

/// How many values the aliases of one document may stand for. A few lines of aliases to aliases
/// could otherwise stand for more than there is memory to check.
const MOST_ALIASED: usize = 10_000;

/// One document of a text.
#[derive(Debug)]
pub(crate) struct Document {
    /// What it holds, as far as it could be read; nothing when it is empty or comments only.
    pub(crate) root: Option<Rc<Node>>,
    /// What is wrong with it as YAML.
    pub(crate) mistakes: Vec<Mistake>,
}

/// Every document of `text`. One that cannot be read does not hide those after it.
pub(crate) fn documents(text: &str) -> Vec<Document> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str_with_options(text, options! { emit_comments: false });
    let mut documents = Vec::new();
    loop {
        let mut reader = Reader {
            parser: &mut parser,
            text,
            anchors: BTreeMap::new(),
            aliased: 0,
            mistakes: Vec::new(),
        };
        let read = reader.document();
        let mut mistakes = reader.mistakes;
        let root = match read {
            Ok(Step::Read(root)) => root,
            Ok(Step::End) => return documents,
            Err(mistake) => {
                mistakes.push(mistake);
                None
            }
        };
        let broken = root.is_none() && !mistakes.is_empty();
        documents.push(Document { root, mistakes });
        if broken && !matches!(parser.proceed_next_document(), Ok(true)) {
            return documents;
        }
    }
}

enum Step {
    Read(Option<Rc<Node>>),
    End,
}

struct Reader<'p, 't> {
    parser: &'p mut Parser<'t, StrInput<'t>>,
    text: &'t str,
    /// What each anchor of the document stands for.
    anchors: BTreeMap<usize, Rc<Node>>,
    aliased: usize,
    mistakes: Vec<Mistake>,
}

impl<'t> Reader<'_, 't> {
    fn document(&mut self) -> Result<Step, Mistake> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(Step::End),
                Event::StreamStart | Event::DocumentStart(..) => {}
                Event::DocumentEnd => return Ok(Step::Read(None)),
                first => {
                    let root = self.node(first, span)?;
                    let (end, span) = self.next()?;
                    return match end {
                        Event::DocumentEnd => {
                            Ok(Step::Read(Some(root).filter(|root| !root.is_null())))
                        }
                        _ => Err(Mistake::new(
                            position(&span.start),
                            "",
                            "text after the end of the document",
                        )),
                    };
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Mistake> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Rc<Node>, Mistake> {
        let at = position(&span.start);
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => (
                anchor,
                Value::Scalar(scalar(&text, style, tag.as_deref(), at)?),
            ),
            Event::SequenceStart(_, anchor, tag) => {
                untagged(tag.as_deref(), at)?;
                (anchor, self.list()?)
            }
            Event::MappingStart(_, anchor, tag) => {
                untagged(tag.as_deref(), at)?;
                (anchor, self.map()?)
            }
            Event::Alias(anchor) => return self.alias(anchor, at),
            _ => return Err(Mistake::new(at, "", "a value is expected here")),
        };
        let node = Rc::new(Node {
            at,
            weight: weight(&value),
            value,
        });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<Rc<Node>, Mistake> {
        let node = self
            .anchors
            .get(&anchor)
            .ok_or_else(|| Mistake::new(at, "", "an alias stands within what it stands for"))?;
        self.aliased = self.aliased.saturating_add(node.weight);
        if self.aliased > MOST_ALIASED {
            let message =
                format!("the aliases of this document stand for more than {MOST_ALIASED} values");
            return Err(Mistake::new(at, "", message).allowing("write the values out"));
        }
        Ok(Rc::clone(node))
    }

    fn list(&mut self) -> Result<Value, Mistake> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn map(&mut self) -> Result<Value, Mistake> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            let (key, key_at) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Map(entries)),
                (Event::Scalar(key, ..), span) => (key.into_owned(), position(&span.start)),
                (_, span) => {
                    let at = position(&span.start);
                    return Err(Mistake::new(at, "", "a key must be a plain name"));
                }
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            if let Some(line) = lines.get(&key) {
                let message = format!("`{key}` is written twice; the first is in line {line}");
                self.mistakes.push(Mistake::new(key_at, "", message));
            } else {
                lines.insert(key.clone(), key_at.line);
                entries.push(Entry { key, key_at, value });
            }
        }
    }

    fn syntax(&self, error: &ScanError) -> Mistake {
        let at = position(error.marker());
        if let Some(tab) = self.tab_near(at.line, error.kind()) {
            return Mistake::new(tab, "", "a tab stands in the indentation")
                .allowing("YAML allows only spaces there");
        }
        if matches!(error.kind(), ErrorKind::UnknownAnchor) {
            return Mistake::new(
                at,
                "",
                "an alias stands for an anchor that is not written before it",
            );
        }
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            return Mistake::new(
                at,
                "",
                "values stand more than 255 levels deep in each other",
            );
        }
        Mistake::new(at, "", format!("this is not YAML: {}", error.kind()))
    }

    /// The place of a tab in the indentation of the line where the parser stopped.
    fn tab_near(&self, line: usize, kind: &ErrorKind) -> Option<Position> {
        let names_tab = matches!(
            kind,
            ErrorKind::TabNotAllowed
                | ErrorKind::TabInBlockIndentation
                | ErrorKind::TabInIndentation
                | ErrorKind::TabAtBlockScalarStart
                | ErrorKind::TabInPlainScalar
        );
        let tab_in = |line: usize| {
            let text = self.text.lines().nth(line.checked_sub(1)?)?;
            let indentation = text.len() - text.trim_start_matches([' ', '\t']).len();
            let column = text[..indentation].find('\t')? + 1;
            Some(Position { line, column })
        };
        // A parser that meets the tab where it expects a key stops at the tab's line or the next.
        tab_in(line).or_else(|| names_tab.then(|| tab_in(line - 1)).flatten())
    }
}

fn position(marker: &Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

fn weight(value: &Value) -> usize {
    let of_children = match value {
        Value::Scalar(_) => 0,
        Value::List(items) => items
            .iter()
            .fold(0_usize, |sum, item| sum.saturating_add(item.weight)),
        Value::Map(entries) => entries
            .iter()
            .fold(0_usize, |sum, entry| sum.saturating_add(entry.value.weight)),
    };
    of_children.saturating_add(1)
}

fn untagged(tag: Option<&Tag>, at: Position) -> Result<(), Mistake> {
    match tag {
        Some(tag) => Err(
            Mistake::new(at, "", format!("the tag `{}` is not read", tag.original()))
                .allowing("leave it out"),
        ),
        None => Ok(()),
    }
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: Position,
) -> Result<Scalar, Mistake> {
    if tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str")) {
        return Ok(Scalar::Text(text.to_owned()));
    }
    untagged(tag, at)?;
    Ok(match style {
        ScalarStyle::Plain => Scalar::of_plain(text),
        ScalarStyle::SingleQuoted
        | ScalarStyle::DoubleQuoted
        | ScalarStyle::Literal
        | ScalarStyle::Folded => Scalar::Text(text.to_owned()),
    })
}

//! What an expression is about, and whether it can be decided in little time.

use std::collections::{BTreeMap, BTreeSet};

use cel::{
    IdedExpr,
    common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators},
};
use regex::{Regex, RegexBuilder};

use crate::letter_case::folded;

/// How far an expression goes down: evaluation recurses on the caller's stack.
const DEEPEST: usize = 32;

/// How large a pattern is once it is compiled, in bytes.
const LARGEST_PATTERN: usize = 256 << 10;

/// What a request is described with.
const FIELDS: [(&str, &[&str]); 3] = [
    (
        "request",
        &["method", "path", "query", "headers", "host", "port"],
    ),
    ("mcp", &["method", "tool", "arguments"]),
    ("agent", &["namespace", "name", "level"]),
];

const OPERATORS: [&str; 18] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
];

pub(super) const FUNCTIONS: [&str; 9] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    MATCHES,
    "lowerAscii",
    "int",
    "double",
    "string",
];

const MATCHES: &str = "matches";

/// Of which requests an expression is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// Of every one.
    Requests,
    /// Of messages of the Model Context Protocol: it speaks of their method.
    Messages,
    /// Of calls of tools: it speaks of the tool or its arguments.
    Calls,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Inspected {
    pub(super) subject: Subject,
    /// Its patterns, compiled.
    pub(super) patterns: BTreeMap<String, Regex>,
    /// What it may look for in the arguments of a tool, each behind what a reader takes it for that tells no cases
    /// apart.
    pub(super) keys: BTreeSet<(String, String)>,
}

/// Looks through an expression; an error says what it cannot have.
pub(super) fn inspect(expression: &IdedExpr) -> Result<Inspected, String> {
    let mut inspection = Inspection {
        found: Inspected {
            subject: Subject::Requests,
            patterns: BTreeMap::new(),
            keys: BTreeSet::new(),
        },
        own: Vec::new(),
        loops: 0,
    };
    inspection.expression(expression, 0)?;
    Ok(inspection.found)
}

struct Inspection {
    found: Inspected,
    /// Names that macros gave.
    own: Vec<String>,
    /// Macros around this place.
    loops: usize,
}

impl Inspection {
    fn expression(&mut self, expression: &IdedExpr, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(
                "it has too many steps within each other: write more conditions".to_owned(),
            );
        }
        let below = depth + 1;
        match &expression.expr {
            Expr::Unspecified | Expr::Struct(_) => {
                Err("it makes an object, which a condition has no use for".to_owned())
            }
            Expr::Literal(literal) => {
                // A macro may go over keys.
                if let (LiteralValue::String(text), true) = (literal, self.loops > 0) {
                    self.add_key(text.inner());
                }
                check_literal(literal)
            }
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => match root(&select.operand) {
                Some(root) if !self.own.iter().any(|own| own == root) => {
                    self.field(root, &select.field)
                }
                _ => {
                    self.key(&select.operand, &select.field);
                    self.expression(&select.operand, below)
                }
            },
            Expr::Call(call) => self.call(call, below),
            Expr::List(list) => self.each(&list.elements, below),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::StructField(field) => self.expression(&field.value, below),
                EntryExpr::MapEntry(entry) => {
                    self.expression(&entry.key, below)?;
                    self.expression(&entry.value, below)
                }
            }),
            Expr::Comprehension(all) => {
                self.expression(&all.iter_range, below)?;
                if self.loops > 0 {
                    return Err("it has a macro within another, which could take long".to_owned());
                }
                self.loops += 1;
                let before = self.own.len();
                self.own
                    .extend([all.iter_var.clone(), all.accu_var.clone()]);
                self.own.extend(all.iter_var2.clone());
                for part in [&all.accu_init, &all.loop_cond, &all.loop_step, &all.result] {
                    self.expression(part, below)?;
                }
                self.own.truncate(before);
                self.loops -= 1;
                Ok(())
            }
        }
    }

    fn each(&mut self, expressions: &[IdedExpr], depth: usize) -> Result<(), String> {
        expressions
            .iter()
            .try_for_each(|expression| self.expression(expression, depth))
    }

    /// What it takes of something else; of a request and of an agent it takes no arguments.
    fn key(&mut self, of: &IdedExpr, key: &str) {
        let base = base(of).filter(|base| !self.own.iter().any(|own| own == base));
        if !matches!(base, Some("request" | "agent")) {
            self.add_key(key);
        }
    }

    fn add_key(&mut self, key: &str) {
        self.found.keys.insert((folded(key), key.to_owned()));
    }

    /// A name that stands by itself.
    fn name(&self, name: &str) -> Result<(), String> {
        if self.own.iter().any(|own| own == name) {
            return Ok(());
        }
        if let Some((_, fields)) = FIELDS.iter().find(|(root, _)| *root == name) {
            let fields = listed(name, fields);
            return Err(format!("say what of `{name}` is meant: {fields}"));
        }
        Err(format!(
            "nothing is named `{name}`: a condition knows request, mcp and agent"
        ))
    }

    fn field(&mut self, root: &str, field: &str) -> Result<(), String> {
        let Some((root, fields)) = FIELDS.iter().find(|(name, _)| *name == root) else {
            return self.name(root);
        };
        if !fields.contains(&field) {
            let fields = listed(root, fields);
            return Err(format!("`{root}.{field}` is nothing: there is {fields}"));
        }
        let subject = match (*root, field) {
            ("mcp", "method") => Subject::Messages,
            ("mcp", _) => Subject::Calls,
            _ => Subject::Requests,
        };
        self.found.subject = self.found.subject.max(subject);
        Ok(())
    }

    fn call(&mut self, call: &CallExpr, depth: usize) -> Result<(), String> {
        let name = call.func_name.as_str();
        if let (operators::INDEX, [operand, key]) = (name, call.args.as_slice())
            && let (Some(root), Some(field)) = (root(operand), text_of(key))
            && !self.own.iter().any(|own| own == root)
        {
            return self.field(root, field);
        }
        match (name, call.args.as_slice()) {
            (operators::INDEX, [operand, key]) | (operators::IN, [key, operand]) => {
                if let Some(key) = text_of(key) {
                    self.key(operand, key);
                }
            }
            _ => {}
        }
        let is_known = OPERATORS.contains(&name)
            || name == operators::NOT_STRICTLY_FALSE
            || FUNCTIONS.contains(&name);
        if !is_known {
            return Err(format!(
                "there is no function `{name}`: there is {}",
                FUNCTIONS.join(", ")
            ));
        }
        if name == MATCHES {
            self.pattern(call)?;
        }
        if let Some(target) = &call.target {
            self.expression(target, depth)?;
        }
        self.each(&call.args, depth)
    }

    /// A pattern that a request could choose would be compiled for each.
    fn pattern(&mut self, call: &CallExpr) -> Result<(), String> {
        let Some(pattern) = call.args.last().and_then(text_of) else {
            return Err("the pattern of `matches` has to stand there as a text".to_owned());
        };
        let compiled = RegexBuilder::new(pattern)
            .size_limit(LARGEST_PATTERN)
            .build()
            .map_err(|error| {
                let problem = error.to_string();
                let problem = problem.lines().last().unwrap_or_default().to_owned();
                format!("`{pattern}` is not a pattern (RE2): {problem}")
            })?;
        self.found.patterns.insert(pattern.to_owned(), compiled);
        Ok(())
    }
}

/// JSON knows one kind of number: what is whole in an argument is compared as a whole number.
fn check_literal(literal: &LiteralValue) -> Result<(), String> {
    match literal {
        LiteralValue::Double(number) if number.inner().fract() == 0.0 => Err(format!(
            "write {number} without a fraction: whole numbers are compared as such",
            number = number.inner()
        )),
        LiteralValue::UInt(_) => Err("write the number without `u`".to_owned()),
        LiteralValue::Bytes(_) => Err("there are texts, and no bytes".to_owned()),
        LiteralValue::Double(_)
        | LiteralValue::Boolean(_)
        | LiteralValue::Int(_)
        | LiteralValue::Null
        | LiteralValue::String(_) => Ok(()),
    }
}

fn root(expression: &IdedExpr) -> Option<&str> {
    if let Expr::Ident(name) = &expression.expr {
        Some(name)
    } else {
        None
    }
}

/// The name that a chain of fields begins with.
fn base(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Ident(name) => Some(name),
        Expr::Select(select) => base(&select.operand),
        Expr::Call(call) if call.func_name == operators::INDEX => call.args.first().and_then(base),
        Expr::Unspecified
        | Expr::Call(_)
        | Expr::Comprehension(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_) => None,
    }
}

fn text_of(expression: &IdedExpr) -> Option<&str> {
    if let Expr::Literal(LiteralValue::String(text)) = &expression.expr {
        Some(text.inner())
    } else {
        None
    }
}

fn listed(root: &str, fields: &[&str]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|field| format!("{root}.{field}"))
        .collect();
    fields.join(", ")
}

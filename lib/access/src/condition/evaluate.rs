//! An expression, asked of one request.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use cel::{Context, ExecutionError, Value, extractors::This, functions};

use super::{Condition, Expression, Subject, arguments};
use crate::{
    evidence::EvidenceLevel,
    host::Host,
    http::{HttpRequest, Mcp},
    mcp::{CALL, McpMessage},
    object::ObjectKey,
    path::RequestPath,
    port::Port,
    reason::RefusalReason,
};

/// Who asks for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) agent: &'a ObjectKey,
    pub(crate) level: EvidenceLevel,
    pub(crate) host: &'a Host,
    pub(crate) port: Port,
    pub(crate) request: &'a HttpRequest<'a>,
}

/// What comes of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Holds,
    Fails,
    /// It asks for something that the request has not, or compares what cannot be compared.
    Undecided,
    /// It gives another kind of value.
    NoQuestion(String),
}

/// The first condition that stands in the way, and why.
pub(crate) fn refusal_of<'c>(
    conditions: &'c [Condition],
    facts: Facts<'_>,
) -> Option<(RefusalReason, &'c Condition)> {
    let mut variables = None;
    for condition in conditions {
        let expression = &condition.expression;
        if !is_asked(expression.subject(), facts.request.mcp) {
            continue;
        }
        let variables = variables.get_or_insert_with(|| facts.variables(conditions));
        match evaluate(expression, variables) {
            Verdict::Holds => {}
            Verdict::Fails => return Some((RefusalReason::ConditionNotMet, condition)),
            Verdict::Undecided | Verdict::NoQuestion(_) => {
                return Some((RefusalReason::ConditionNotDecided, condition));
            }
        }
    }
    None
}

/// What stream is opened and what session ended is not a message; nor is an answer to the server.
fn is_asked(subject: Subject, mcp: Mcp<'_>) -> bool {
    let method = match mcp {
        Mcp::NoMessage => None,
        Mcp::Message(message) => message.method.as_deref(),
        // Whatever that is, it is not waved through.
        Mcp::Unread | Mcp::NotUnderstood => return true,
    };
    match subject {
        Subject::Requests => true,
        Subject::Messages => method.is_some(),
        Subject::Calls => method == Some(CALL),
    }
}

/// An expression that nobody has asked yet, of a request like any other.
pub(super) fn of_a_sample(expression: &Expression) -> Verdict {
    let text = |text: &str| Value::from(text);
    let headers: HashMap<String, Value> = HashMap::new();
    let request = HashMap::from([
        ("method", text("GET")),
        ("path", text("/")),
        ("query", text("")),
        ("headers", headers.into()),
        ("host", text("api.example.com")),
        ("port", Value::Int(443)),
    ]);
    let agent = HashMap::from([
        ("namespace", text("default")),
        ("name", text("agent")),
        ("level", text("Image")),
    ]);
    let mcp = HashMap::from([("method", text(CALL)), ("tool", text("tool"))]);
    let variables = [("request", request), ("agent", agent), ("mcp", mcp)];
    evaluate(expression, &variables.map(|(name, map)| (name, map.into())))
}

/// A panic of the interpreter decides nothing.
fn evaluate(expression: &Expression, variables: &[(&'static str, Value)]) -> Verdict {
    let checked = expression.checked();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut context = context(expression);
        for (name, value) in variables {
            context.add_variable_from_value(*name, value.clone());
        }
        Value::resolve(&checked.expression, &context)
    }));
    match result {
        Ok(Ok(Value::Bool(true))) => Verdict::Holds,
        Ok(Ok(Value::Bool(false))) => Verdict::Fails,
        Ok(Ok(other)) => Verdict::NoQuestion(other.type_of().to_string()),
        Ok(Err(_)) | Err(_) => Verdict::Undecided,
    }
}

fn context(expression: &Expression) -> Context<'static> {
    let mut context = Context::empty();
    context.add_function("size", functions::size);
    context.add_function("contains", functions::contains);
    context.add_function("startsWith", functions::starts_with);
    context.add_function("endsWith", functions::ends_with);
    context.add_function("int", functions::int);
    context.add_function("double", functions::double);
    context.add_function("string", functions::string);
    context.add_function("lowerAscii", |This(this): This<Arc<String>>| {
        this.to_ascii_lowercase()
    });
    if !expression.checked().inspected.patterns.is_empty() {
        // Shared and not copied: a copy of a pattern would begin without what matching made ready.
        let checked = expression.shared();
        context.add_function(
            "matches",
            move |This(this): This<Arc<String>>, pattern: Arc<String>| match checked
                .inspected
                .patterns
                .get(pattern.as_str())
            {
                Some(compiled) => Ok(compiled.is_match(&this)),
                None => Err(ExecutionError::function_error(
                    "matches",
                    "an unknown pattern",
                )),
            },
        );
    }
    context
}

impl Facts<'_> {
    fn variables(&self, conditions: &[Condition]) -> Vec<(&'static str, Value)> {
        let agent = HashMap::from([
            ("namespace", Value::from(self.agent.namespace.as_str())),
            ("name", self.agent.name.as_str().into()),
            ("level", self.level.to_string().into()),
        ]);
        let mut variables = vec![("agent", agent.into()), ("request", self.request())];
        if let Mcp::Message(message) = self.request.mcp {
            variables.push(("mcp", of_message(message, conditions)));
        }
        variables
    }

    /// What is not known, or can be read in more than one way, is not there: asking for it decides nothing.
    fn request(&self) -> Value {
        let asked = self.request;
        let mut request = HashMap::from([
            ("method", Value::from(asked.method)),
            ("host", self.host.to_string().into()),
            ("port", Value::Int(self.port.get().into())),
            ("query", asked.query.into()),
        ]);
        if let Ok(path) = &asked.path {
            request.insert("path", decoded(path).into());
        }
        if let Some(headers) = asked.headers {
            request.insert("headers", of_headers(headers));
        }
        request.into()
    }
}

fn decoded(path: &RequestPath) -> String {
    path.parts()
        .fold(String::new(), |whole, part| whole + "/" + part)
}

/// Lines of one name are one value (RFC 9110, 5.3); those of cookies in their own way (RFC 9113, 8.2.3).
fn of_headers(headers: &[(&str, &str)]) -> Value {
    let mut map: HashMap<String, String> = HashMap::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let between = if name == "cookie" { "; " } else { ", " };
        map.entry(name)
            .and_modify(|known| {
                known.push_str(between);
                known.push_str(value);
            })
            .or_insert_with(|| (*value).to_owned());
    }
    map.into()
}

fn of_message(message: &McpMessage, conditions: &[Condition]) -> Value {
    let text = |text: &Option<String>| Value::from(text.as_deref().unwrap_or_default());
    let mut map = HashMap::from([
        ("method", text(&message.method)),
        ("tool", text(&message.tool)),
    ]);
    let arguments = message.arguments.as_deref();
    // A grant has few conditions, and each is short.
    let conditions = conditions.iter();
    let keys = conditions.flat_map(|condition| &condition.expression.checked().inspected.keys);
    let keys: Vec<_> = keys.collect();
    if let Some(arguments) = arguments.and_then(|text| arguments::read(text, &keys)) {
        map.insert("arguments", arguments);
    }
    map.into()
}

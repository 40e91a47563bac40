//! Conditions: what is true of an object now, and why.
//!
//! Types and reasons are part of the API. Each is a documented variant, and its meaning is what
//! `kubectl explain` and `docs/api.md` show.

use schemars::{Schema, SchemaGenerator, json_schema};

macro_rules! documented {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $meaning:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every variant, for documents and tables.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that conditions show.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }

            /// What it means, for a person.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
                }
            }

            /// The names and meanings of every variant.
            #[must_use]
            pub fn table() -> Vec<$crate::condition::ReasonDoc> {
                Self::ALL
                    .iter()
                    .map(|variant| $crate::condition::ReasonDoc {
                        name: variant.as_str(),
                        meaning: variant.meaning(),
                    })
                    .collect()
            }
        }
    };
}
pub(crate) use documented;

documented! {
    /// The types of condition.
    ConditionType {
        /// The object itself is in order.
        Accepted => "whether the object can be used as it is written",
        /// Those who have to have agreed.
        Approved => "whether everybody who has to has agreed to it",
        /// The nodes that have to know it do.
        Enforced => "whether every node that runs the agent has put into force what holds now",
        /// The object does what it is for.
        Ready => "whether the object does now what it is for",
    }
}

documented! {
    /// Reasons of `Accepted`, of every kind.
    AcceptedReason {
        /// It is in order.
        Valid => "the object is in order",
        /// It is not.
        Invalid => "a field is wrong; the message names it",
    }
}

/// A condition as documents show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionDoc {
    /// Its type.
    pub condition: ConditionType,
    /// The reasons it may have.
    pub reasons: Vec<ReasonDoc>,
}

/// A reason as documents show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonDoc {
    /// Its name.
    pub name: &'static str,
    /// What it means, for a person.
    pub meaning: &'static str,
}

/// The schema of `status.conditions`.
pub(crate) fn list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": { "type": "string", "description": "Which condition.", "minLength": 1, "maxLength": 316 },
                "status": { "type": "string", "description": "Whether it holds.", "enum": ["True", "False", "Unknown"] },
                "reason": { "type": "string", "description": "Why, in one word for programs.", "minLength": 1, "maxLength": 1024 },
                "message": { "type": "string", "description": "Why, for a person.", "maxLength": 32768 },
                "lastTransitionTime": { "type": "string", "description": "When status last changed.", "format": "date-time", "maxLength": 64 },
                "observedGeneration": { "type": "integer", "description": "The metadata.generation this is about.", "format": "int64", "minimum": 0 },
            },
        },
    })
}

/// What `kubectl explain` says of `status.conditions`: the meaning of every condition and reason.
pub(crate) fn describe(conditions: &[ConditionDoc]) -> String {
    let of_condition = |ConditionDoc { condition, reasons }: &ConditionDoc| {
        let reasons: Vec<String> = reasons
            .iter()
            .map(|reason| format!("- {}: {}", reason.name, reason.meaning))
            .collect();
        format!(
            "{}: {}. Reasons:\n{}",
            condition.as_str(),
            condition.meaning(),
            reasons.join("\n")
        )
    };
    let mut paragraphs = vec!["What is true of the object now, and why.".to_owned()];
    paragraphs.extend(conditions.iter().map(of_condition));
    paragraphs.join("\n\n")
}

//! Messages that carry a secret are not printed, and clear themselves.

use std::fmt;

use zeroize::Zeroize;

use crate::broker::{Answer, FromAgent, Secret};

impl Drop for Secret {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Answer({}, ..)", self.id)
    }
}

impl fmt::Debug for FromAgent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FromAgent(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{answer, from_agent};

    #[test]
    fn a_secret_is_not_printed_at_any_depth() {
        let mut secret = Secret::default();
        secret.value = b"hunter2".to_vec();
        let answer = Answer {
            id: 1,
            answer: Some(answer::Answer::Secret(secret)),
        };
        let text = format!("{answer:?}");
        assert!(
            !text.contains("hunter2") && !text.contains("104, 117"),
            "{text}"
        );
        let message = FromAgent {
            message: Some(from_agent::Message::Answer(answer)),
        };
        let text = format!("{message:?}");
        assert!(
            !text.contains("hunter2") && !text.contains("104, 117"),
            "{text}"
        );
    }
}

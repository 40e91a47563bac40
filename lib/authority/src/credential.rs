//! What a source gives.

use crate::Secret;

/// A credential as it is now.
#[derive(Debug)]
pub struct Credential {
    /// The user name, of sources that have one. It is no secret.
    pub username: Option<String>,
    /// The token or password.
    pub secret: Secret,
}

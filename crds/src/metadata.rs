//! What of an object's metadata Lanyard reads.

use kube::core::ObjectMeta;
use lanyard_access::object::ObjectKey;

use crate::field::FieldErrors;

/// Namespace and name; the namespace is `default` when none is written.
pub(crate) fn key_of(metadata: &ObjectMeta, errors: &mut FieldErrors) -> Option<ObjectKey> {
    let name = metadata.name.as_deref();
    if name.is_none() {
        errors.add("metadata.name", "the object has no name");
    }
    let name = name.and_then(|name| errors.keep("metadata.name", name.parse()));
    let namespace = metadata
        .namespace
        .as_deref()
        .unwrap_or(ObjectKey::DEFAULT_NAMESPACE);
    let namespace = errors.keep("metadata.namespace", namespace.parse());
    Some(ObjectKey {
        namespace: namespace?,
        name: name?,
    })
}

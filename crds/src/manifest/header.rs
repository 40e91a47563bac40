//! What a document says it is.

use std::rc::Rc;

use crate::{
    kind::Kind,
    names::API_VERSION,
    problem::Mistake,
    schema::closest::closest,
    yaml::{Node, Value, shortened},
};

/// What a document is.
pub(super) enum Header<'n> {
    /// An object of one of our kinds.
    Object(Kind),
    /// A list of objects, as `kubectl get -o yaml` prints it.
    List(&'n [Rc<Node>]),
}

/// Reads `apiVersion` and `kind`. What is wrong is added to `mistakes`.
pub(super) fn read<'n>(root: &'n Node, mistakes: &mut Vec<Mistake>) -> Option<Header<'n>> {
    let Value::Map(_) = &root.value else {
        let mistake = Mistake::new(root.at, "", "this is not an object");
        mistakes.push(mistake.allowing("write its apiVersion, kind, metadata and spec"));
        return None;
    };
    let api_version = text(
        root,
        "apiVersion",
        &format!("write {API_VERSION}"),
        mistakes,
    );
    let kind = text(root, "kind", &format!("write {}", kinds()), mistakes);
    let (api_version, kind) = (api_version?, kind?);
    if (api_version, kind) == ("v1", "List") {
        return list(root, mistakes);
    }
    let mistake = match Kind::of_name(kind) {
        Some(kind) if api_version == API_VERSION => return Some(Header::Object(kind)),
        Some(kind) => wrong_version(root, api_version, kind),
        None => unknown_kind(root, api_version, kind),
    };
    mistakes.push(mistake);
    None
}

fn text<'n>(
    root: &'n Node,
    key: &str,
    allowed: &str,
    mistakes: &mut Vec<Mistake>,
) -> Option<&'n str> {
    let text = root.text(key);
    if text.is_none() {
        let found = if root.entry(key).is_none() {
            "is missing"
        } else {
            "is not a string"
        };
        mistakes.push(Mistake::new(root.place_of(key), key, found).allowing(allowed));
    }
    text
}

fn kinds() -> String {
    let names = Kind::ALL.map(Kind::as_str);
    names.join(" or ")
}

fn wrong_version(root: &Node, found: &str, kind: Kind) -> Mistake {
    let message = format!("`{}` has no {kind}", shortened(found));
    Mistake::new(root.place_of("apiVersion"), "apiVersion", message)
        .allowing(format!("write {API_VERSION}"))
}

fn unknown_kind(root: &Node, api_version: &str, found: &str) -> Mistake {
    let at = root.place_of("kind");
    if (api_version, found) == ("v1", "Secret") {
        return Mistake::new(at, "kind", "secrets are not read from manifests").allowing(
            "map NAMESPACE/NAME/KEY to a file of root's under `secrets` in /etc/lanyard/local.yaml",
        );
    }
    let mistake = Mistake::new(
        at,
        "kind",
        format!("`{}` is not a kind of Lanyard's", shortened(found)),
    );
    match closest(found, Kind::ALL.into_iter().map(Kind::as_str)) {
        Some(near) => mistake.allowing(format!("did you mean {near}?")),
        None => mistake.allowing(format!("write {}", kinds())),
    }
}

fn list<'n>(root: &'n Node, mistakes: &mut Vec<Mistake>) -> Option<Header<'n>> {
    match root.entry("items").map(|items| &items.value.value) {
        Some(Value::List(items)) => Some(Header::List(items)),
        Some(Value::Scalar(_) | Value::Map(_)) | None => {
            let mistake = Mistake::new(root.place_of("items"), "items", "is not a list");
            mistakes.push(mistake.allowing("write each object on a line that begins with `- `"));
            None
        }
    }
}

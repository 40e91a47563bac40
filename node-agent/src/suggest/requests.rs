//! Rules that allow the requests that were seen, and few others. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use lanyard_access::{http::HttpRule, method::Method, path::RequestPath};

/// How many values one part of a path may have before it is taken for a name of something.
const FEW: usize = 3;
/// How many rules a grant has at most (see the definition of AccessGrant).
const MOST: usize = 16;

/// A path part by part; nothing where any part will do.
type Shape = Vec<Option<String>>;

/// What the rules are, and what they say nothing about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) rules: Vec<HttpRule>,
    /// Requests that no rule can be for.
    pub(super) left_out: Vec<String>,
}

/// The rules for these methods and paths: with no rule, for there are too many different ones, everything is
/// allowed as before.
pub(super) fn rules<'r>(seen: impl Iterator<Item = (&'r str, &'r str)>) -> Rules {
    let mut found = Rules::default();
    let mut shapes: BTreeMap<Shape, BTreeSet<Method>> = BTreeMap::new();
    for (method, path) in seen {
        match (method.parse(), RequestPath::parse(path)) {
            (Ok(method), Ok(path)) => {
                let shape = path.parts().map(|part| Some(part.to_owned())).collect();
                shapes.entry(shape).or_default().insert(method);
            }
            _ => found.left_out.push(format!("{method} {path}")),
        }
    }
    while let Some(place) = most_different(&shapes) {
        shapes = without(shapes, &place);
    }
    if shapes.len() <= MOST {
        found.rules = shapes.into_iter().filter_map(rule).collect();
    }
    found
}

/// Paths that differ in one part alone.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The paths, without that part.
    around: Shape,
    at: usize,
}

impl Place {
    fn of(shape: &Shape, at: usize) -> Self {
        let mut around = shape.clone();
        around[at] = None;
        Self { around, at }
    }
}

/// Where one part has more values than few.
fn most_different(shapes: &BTreeMap<Shape, BTreeSet<Method>>) -> Option<Place> {
    let mut values: BTreeMap<Place, BTreeSet<&str>> = BTreeMap::new();
    for shape in shapes.keys() {
        for (at, part) in shape.iter().enumerate() {
            // An empty part is the end of a folder's path, and stands for itself.
            if let Some(part) = part.as_deref().filter(|part| !part.is_empty()) {
                values.entry(Place::of(shape, at)).or_default().insert(part);
            }
        }
    }
    let (place, values) = values.into_iter().max_by_key(|(_, values)| values.len())?;
    (values.len() > FEW).then_some(place)
}

fn without(
    shapes: BTreeMap<Shape, BTreeSet<Method>>,
    place: &Place,
) -> BTreeMap<Shape, BTreeSet<Method>> {
    let mut merged: BTreeMap<Shape, BTreeSet<Method>> = BTreeMap::new();
    for (shape, methods) in shapes {
        let is_there = shape.len() == place.around.len()
            && shape[place.at]
                .as_deref()
                .is_some_and(|part| !part.is_empty())
            && Place::of(&shape, place.at).around == place.around;
        let shape = if is_there {
            place.around.clone()
        } else {
            shape
        };
        merged.entry(shape).or_default().extend(methods);
    }
    merged
}

fn rule((shape, mut methods): (Shape, BTreeSet<Method>)) -> Option<HttpRule> {
    // GET allows it.
    if methods.iter().any(|method| method.as_str() == "GET") {
        methods.retain(|method| method.as_str() != "HEAD");
    }
    let is_plain = |part: &&String| !part.contains(['*', '{', '}', '%', '?', '#']);
    let parts = shape.iter().map(|part| match part {
        Some(part) => Some(part).filter(is_plain).map_or("*", String::as_str),
        None => "*",
    });
    let path: Vec<&str> = parts.collect();
    Some(HttpRule {
        methods,
        path: Some(format!("/{}", path.join("/")).parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruled(seen: &[(&str, &str)]) -> Vec<String> {
        let found = rules(seen.iter().copied());
        for (method, path) in seen {
            let path = RequestPath::parse(path);
            let is_covered = found.rules.iter().any(|rule| {
                let template = rule.path.as_ref().unwrap();
                path.as_ref().is_ok_and(|path| template.matches(path))
                    && rule.methods.iter().any(|allowed| allowed.allows(method))
            });
            assert!(is_covered || path.is_err(), "{method} {path:?}");
        }
        let text = |rule: &HttpRule| {
            let methods: Vec<&str> = rule.methods.iter().map(Method::as_str).collect();
            format!("{} {}", methods.join(","), rule.path.as_ref().unwrap())
        };
        found.rules.iter().map(text).collect()
    }

    #[test]
    fn what_was_seen_is_allowed_method_by_method() {
        let seen = [
            ("GET", "/orders/"),
            ("HEAD", "/orders/"),
            ("POST", "/orders/"),
            ("DELETE", "/orders/7"),
        ];
        assert_eq!(ruled(&seen), ["GET,POST /orders/", "DELETE /orders/7"]);
    }

    #[test]
    fn many_values_of_one_part_are_names_of_things() {
        let seen = [
            ("GET", "/repos/acme/one/issues"),
            ("GET", "/repos/acme/two/issues"),
            ("GET", "/repos/acme/three/issues"),
            ("POST", "/repos/acme/four/issues"),
            ("GET", "/user"),
        ];
        assert_eq!(ruled(&seen), ["GET,POST /repos/acme/*/issues", "GET /user"]);
    }

    #[test]
    fn a_path_that_no_rule_can_be_for_is_told() {
        let found = rules([("GET", "/a/../b"), ("brew", "/pot")].into_iter());
        assert_eq!(found.left_out, ["GET /a/../b", "brew /pot"]);
        assert!(found.rules.is_empty());
    }

    #[test]
    fn too_many_different_paths_are_no_rules() {
        let path = |n: usize| format!("/{}", vec!["a"; n + 1].join("/"));
        let paths: Vec<String> = (0..=MOST).map(path).collect();
        let found = rules(paths.iter().map(|path| ("GET", path.as_str())));
        assert!(found.rules.is_empty() && found.left_out.is_empty());
    }
}

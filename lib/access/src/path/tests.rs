use proptest::prelude::*;

use super::*;

fn matches(template: &str, path: &str) -> bool {
    let template: PathTemplate = template.parse().unwrap();
    RequestPath::parse(path).is_ok_and(|path| template.matches(&path))
}

#[test]
fn a_template_stands_for_its_paths_and_no_others() {
    let rows: [(&str, &[&str], &[&str]); 6] = [
        ("/", &["/"], &["/a", "/a/"]),
        (
            "/orders",
            &["/orders", "/%6frders", "/o%72ders"],
            &["/orders/", "/Orders", "/orders/1", "/order", "/"],
        ),
        ("/orders/", &["/orders/"], &["/orders", "/orders/1"]),
        (
            "/orders/*",
            &["/orders/1", "/orders/a%20b"],
            &["/orders/", "/orders", "/orders/1/2", "/orders/1/"],
        ),
        (
            "/repos/{owner}/{repo}/issues",
            &["/repos/acme/pay/issues"],
            &[
                "/repos/acme/issues",
                "/repos/acme//issues",
                "/repos/acme/pay/issues/1",
            ],
        ),
        (
            "/v1/**",
            &["/v1/", "/v1/a", "/v1/a/b/", "/v1/a/b"],
            &["/v1", "/v2/a", "/"],
        ),
    ];
    for (template, those, others) in rows {
        for path in those {
            assert!(matches(template, path), "{template} {path}");
        }
        for path in others {
            assert!(!matches(template, path), "{template} {path}");
        }
    }
    assert!(matches("/**", "/") && matches("/**", "/a/b"));
    assert!(matches("/{a}/{a}", "/x/x") && !matches("/{a}/{a}", "/x/y"));
}

#[test]
fn placeholders_give_what_stands_there() {
    let template: PathTemplate = "/repos/{owner}/*/{number}".parse().unwrap();
    let path = RequestPath::parse("/repos/ac%6De/x/7").unwrap();
    assert_eq!(
        template.captures(&path),
        Some(vec![("owner", "acme"), ("number", "7")])
    );
}

#[test]
fn a_path_that_can_be_read_in_two_ways_is_none() {
    use AmbiguousPath as A;
    for (path, why) in [
        ("", A::Relative),
        ("*", A::Relative),
        ("a/b", A::Relative),
        ("/a/../b", A::Dots),
        ("/a/%2e%2E/b", A::Dots),
        ("/a/.%2e", A::Dots),
        ("/./a", A::Dots),
        ("/a/..;x=1/b", A::Dots),
        ("/a/.;/b", A::Dots),
        ("/a/;x=1/b", A::Empty),
        ("/a/%3bx", A::Empty),
        ("//a", A::Empty),
        ("/a//b", A::Empty),
        ("/a//", A::Empty),
        ("/a%2fb", A::Hidden),
        ("/a%2Fb", A::Hidden),
        ("/a%5cb", A::Hidden),
        ("/a\\b", A::Hidden),
        ("/a%00b", A::Hidden),
        ("/a%0ab", A::Hidden),
        ("/a%7fb", A::Hidden),
        ("/a%252e%252e/b", A::Hidden),
        ("/a%25", A::Hidden),
        ("/a%2", A::Encoding),
        ("/a%zz", A::Encoding),
        ("/%ff", A::Encoding),
        ("/%c0%ae", A::Encoding),
    ] {
        if path == "/a%25" {
            // A percent sign alone is one.
            assert!(RequestPath::parse(path).is_ok());
            continue;
        }
        assert_eq!(RequestPath::parse(path), Err(why), "{path}");
    }
}

#[test]
fn templates_that_are_not_meant_are_refused() {
    use ParseTemplateError as E;
    type Is = fn(&E) -> bool;
    let rows: [(&str, Is); 13] = [
        ("a", |e| matches!(e, E::Relative(_))),
        ("", |e| matches!(e, E::Relative(_))),
        ("/a?b", |e| matches!(e, E::Query(_))),
        ("/a#b", |e| matches!(e, E::Query(_))),
        ("/**/a", |e| matches!(e, E::RestWithin(_))),
        ("/a*", |e| matches!(e, E::Placeholder(_))),
        ("/a/{b", |e| matches!(e, E::Placeholder(_))),
        ("/{1b}", |e| matches!(e, E::Placeholder(_))),
        ("/a***", |e| matches!(e, E::Placeholder(_))),
        ("/a//b", |e| matches!(e, E::Never(_))),
        ("/a/../b", |e| matches!(e, E::Never(_))),
        ("/a%20b", |e| matches!(e, E::Never(_))),
        ("//**", |e| matches!(e, E::Never(_))),
    ];
    for (text, is) in rows {
        let error = text.parse::<PathTemplate>().unwrap_err();
        assert!(is(&error), "{text}: {error:?}");
    }
    let long = format!("/{}", "a".repeat(LONGEST));
    assert_eq!(long.parse::<PathTemplate>(), Err(E::TooLong));
}

proptest! {
    #[test]
    fn a_template_reads_back_as_it_is_written(text in "(/([a-z]{1,3}|[*]|[{][a-z]{1,2}[}])){1,4}(/[*][*]|/)?") {
        if let Ok(template) = text.parse::<PathTemplate>() {
            prop_assert_eq!(template.to_string(), text);
        }
    }

    /// What a service does with a path that matches stays below the template's text, however it resolves it.
    #[test]
    fn no_spelling_leaves_the_folder_of_a_rule(raw in "/v1/[a./%2eEfF5cC;\\\\]{0,12}") {
        let template: PathTemplate = "/v1/**".parse().unwrap();
        if let Ok(path) = RequestPath::parse(&raw) {
            prop_assert!(template.matches(&path) == raw.starts_with("/v1/"));
            for part in path.parts() {
                prop_assert!(!part.starts_with("..") || part.len() > 2);
                prop_assert!(!part.contains(['/', '\\']));
            }
        }
    }
}

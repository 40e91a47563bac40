//! The broker speaks HTTP/2 to agents as RFC 9113 and RFC 7541 say, by the word of h2spec.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::fs;

use lanyard_e2e::{
    peers,
    scenes::{Stage, TOOLS, USER},
    service,
};

/// How many cases h2spec has, the strict ones too: a run that tried nothing would have nothing against anybody.
const CASES: usize = 146;

/// One case of h2spec's report.
#[derive(Debug, PartialEq, Eq)]
struct Case {
    /// Section and title.
    title: String,
    passed: bool,
}

fn stage() -> Stage {
    let stage = Stage::with_tools().unwrap();
    stage.give(&stage.grant("conformance")).unwrap();
    stage
}

/// The cases of a `JUnit` report as h2spec writes it: an element a case, which holds another when it failed.
fn cases(report: &str) -> Vec<Case> {
    let attribute = |element: &str, name: &str| {
        let value = element.split_once(&format!(" {name}=\"")).unwrap().1;
        value.split('"').next().unwrap().to_owned()
    };
    let elements = report.split("<testcase").skip(1);
    elements
        .map(|element| Case {
            title: format!(
                "{}: {}",
                attribute(element, "package"),
                attribute(element, "classname")
            ),
            passed: !["<failure", "<error", "<skipped"]
                .iter()
                .any(|end| element.contains(end)),
        })
        .collect()
}

#[test]
fn the_broker_passes_every_case_of_h2spec() {
    let stage = stage();
    let h2spec = peers::h2spec().unwrap().display().to_string();
    let report = stage.lanyard.project(Some(USER)).join("report.xml");
    let port = service::TLS_PORT.to_string();
    let command = [
        &h2spec,
        "-t",
        "-S",
        "-k",
        "-h",
        service::NAME,
        "-p",
        &port,
        "-o",
        "5",
        "-j",
        "report.xml",
    ];
    let output = stage
        .lanyard
        .run_as(TOOLS, Some(USER), &command)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report =
        fs::read_to_string(report).unwrap_or_else(|error| panic!("{error}: {said}\n{output:?}"));
    let cases = cases(&report);
    assert_eq!(cases.len(), CASES, "{said}");
    let failed: Vec<&Case> = cases.iter().filter(|case| !case.passed).collect();
    assert!(failed.is_empty(), "{failed:?}\n{said}");
}

#[test]
fn a_case_that_failed_is_seen() {
    let report = r#"<testsuite name="1" errors="1" failures="0">
  <testcase package="generic/1" classname="Sends a" time="0.0"></testcase>
  <testcase package="http2/4.2" classname="Sends b" time="0.0">
    <error>GOAWAY Frame</error>
  </testcase>
</testsuite>"#;
    let case = |title: &str, passed| Case {
        title: title.into(),
        passed,
    };
    let expected = [
        case("generic/1: Sends a", true),
        case("http2/4.2: Sends b", false),
    ];
    assert_eq!(cases(report), expected);
}

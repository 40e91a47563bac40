//! Which requests a grant is for: by method and path, with an explanation of the others.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Evidence, Stage, TOKEN, TOOLS, USER};
use crate::{
    grant::{NamedGrant, whoever},
    service,
};

/// A grant to read orders opens nothing else of the same service, and the refusal says which grant, why, and what
/// would allow it.
pub fn unlisted_path_is_refused(stage: &Stage) -> Result<Evidence> {
    stage.lab.write("manifests/tools.yaml", whoever(TOOLS))?;
    let grant = NamedGrant {
        name: "orders",
        agent: TOOLS,
        host: service::NAME,
        port: 443,
        protocol: "HTTPS",
        resource: vec![
            "http:".to_owned(),
            "  - { methods: [GET], path: /orders/** }".to_owned(),
        ],
        authority: Some(&stage.service.authority),
        credential: Some("token"),
        spec: Vec::new(),
    };
    stage.lab.write("manifests/orders.yaml", grant.yaml())?;
    stage.lanyard.until_live("default/orders")?;
    let ask = |arguments: &[&str]| -> Result<String> {
        let command: Vec<&str> = ["curl", "--silent", "--show-error"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let output = stage.lanyard.run_as(TOOLS, Some(USER), &command).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let order = ask(&[&stage.url("/orders/7")])?;
    ensure!(order == "order /orders/7\n", "the granted path: {order:?}");
    let plain = ask(&[&format!("http://{}/orders/8", service::NAME)])?;
    ensure!(
        plain == "order /orders/8\n",
        "the same over http://: {plain:?}"
    );
    let refused = ask(&[&stage.url("/admin")])?;
    let problem: Value = serde_json::from_str(&refused)?;
    ensure!(
        problem["reason"] == "PathNotGranted" && problem["grant"] == "default/orders",
        "the other path: {refused}"
    );
    let around = ask(&["--path-as-is", &stage.url("/orders/%2e%2e/admin")])?;
    ensure!(
        around.contains("PathNotUnderstood"),
        "the way around: {around}"
    );
    let written = ask(&["--data", "x=1", &stage.url("/orders/7")])?;
    ensure!(
        written.contains("MethodNotGranted"),
        "another method: {written}"
    );
    let explained = stage.lanyard.explain_last("POST")?;
    ensure!(
        explained.contains("GET of /orders/**") && explained.contains("path: \"/orders/7\""),
        "explain says neither what is granted nor what would be: {explained}"
    );
    let arrived = stage.service.requests()?;
    ensure!(
        !arrived
            .iter()
            .any(|line| line.contains("/admin") || line.contains("POST")),
        "a refused request arrived: {arrived:?}"
    );
    ensure!(!refused.contains(TOKEN), "the refusal has the token");
    let detail = problem["detail"].as_str().unwrap_or_default();
    Ok(vec![
        format!("granted is GET of /orders/**: {}", order.trim()),
        format!(
            "http://{}/orders/8 is carried over TLS all the same",
            service::NAME
        ),
        format!("/admin: {} {detail}", problem["status"]),
        "/orders/%2e%2e/admin: refused, for it can be read in two ways; POST /orders/7: refused"
            .to_owned(),
        "`lanyard explain --last` names the grant, its rule, and the YAML that would allow it"
            .to_owned(),
    ])
}

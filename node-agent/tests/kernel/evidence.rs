//! What the kernel sees of an execution, and the process cannot write over: its arguments and its environment.

use lanyard_node_agent::loader;
use lanyard_node_agent_abi::{
    event::{ARGUMENTS, ExecEvent, evidence},
    process::{ScopeSettings, level, marks},
};

use super::{actor::Actor, node::Node};

/// Executes a program with these arguments and this environment, as Python writes them.
fn execute(node: &mut Node, actor: &mut Actor, arguments: &str, environment: &str) -> ExecEvent {
    actor.run(&format!(
        "pid = os.posix_spawn('/bin/true', {arguments}, {environment})\nos.waitpid(pid, 0)"
    ));
    let pid = u32::try_from(actor.run("pid").as_u64().unwrap()).unwrap();
    node.executed(pid)
}

fn ask_for_arguments(node: &mut Node) {
    let scope = node.scope;
    let settings = ScopeSettings {
        marks: marks::ARGUMENTS,
        ..node.broker.ports()
    };
    node.maps().set_settings(scope, settings).unwrap();
}

fn bit_of(name: &str) -> u64 {
    let place = loader::VARIABLES.iter().position(|known| *known == name);
    1 << place.unwrap()
}

#[test]
fn arguments_are_told_whole_where_they_are_asked_for_and_nowhere_else() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let event = execute(&mut node, &mut actor, "['true', 'secret']", "{}");
    assert_eq!(event.arguments, 0, "nobody asked");
    assert!(node.arguments_of(event.exec_id).is_empty());

    ask_for_arguments(&mut node);
    let event = execute(&mut node, &mut actor, "['true', '', 'a b', '-c']", "{}");
    assert_eq!(node.arguments_of(event.exec_id), b"true\0\0a b\0-c\0");
    assert_eq!(event.evidence & evidence::ARGUMENTS_UNREAD, 0);
}

#[test]
fn arguments_are_told_to_the_last_byte_there_is_room_for() {
    let mut node = Node::start();
    ask_for_arguments(&mut node);
    let mut actor = node.attested(level::IMAGE);
    // `true`, a NUL, the argument, a NUL.
    let most = ARGUMENTS - 6;
    for (length, unread) in [(most, 0), (most + 1, evidence::ARGUMENTS_UNREAD)] {
        let arguments = format!("['true', 'x' * {length}]");
        let event = execute(&mut node, &mut actor, &arguments, "{}");
        assert_eq!(event.evidence & evidence::ARGUMENTS_UNREAD, unread);
        let told = node.arguments_of(event.exec_id);
        assert_eq!(told.len(), ARGUMENTS, "{length}");
        assert!(told.starts_with(b"true\0xxx"));
    }
}

#[test]
fn a_variable_exactly_as_lanyard_sets_it_is_none_that_counts() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let own = "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/run/x.jks";
    node.maps().set_own_variable(own, true).unwrap();
    let counts = bit_of("JAVA_TOOL_OPTIONS");
    let value = "-Djavax.net.ssl.trustStore=/run/x.jks";
    for (value, expected) in [
        (value.to_owned(), 0),
        (format!("{value} -javaagent:/x"), counts),
        (format!("{value}x"), counts),
        (value[..value.len() - 1].to_owned(), counts),
        (format!("-javaagent:/x {value}"), counts),
        (format!("{value}{}", " ".repeat(300)), counts),
        (String::new(), counts),
    ] {
        let environment = format!("{{'JAVA_TOOL_OPTIONS': '{value}'}}");
        let event = execute(&mut node, &mut actor, "['true']", &environment);
        assert_eq!(event.loader, expected, "{environment}");
    }
    node.maps().set_own_variable(own, false).unwrap();
    let environment = format!("{{'JAVA_TOOL_OPTIONS': '{value}'}}");
    let event = execute(&mut node, &mut actor, "['true']", &environment);
    assert_eq!(event.loader, counts);
}

#[test]
fn variables_that_change_what_is_loaded_are_seen_wherever_they_stand() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let many = "**{f'HARMLESS_{n}': 'x' * 40 for n in range(500)}";
    let cases = [
        ("{'PATH': '/bin', 'LANG': 'C'}".to_owned(), 0),
        (
            "{'LD_PRELOAD': '/x.so'}".to_owned(),
            evidence::LOADER_PREFIX,
        ),
        ("{'LD_WHATEVER': '1'}".to_owned(), evidence::LOADER_PREFIX),
        (
            "{'NODE_OPTIONS': '--require /x'}".to_owned(),
            bit_of("NODE_OPTIONS"),
        ),
        ("{'PYTHONPATH': ''}".to_owned(), bit_of("PYTHONPATH")),
        (
            "{'BASH_ENV': '/x', 'JAVA_TOOL_OPTIONS': '-javaagent:/x'}".to_owned(),
            bit_of("BASH_ENV") | bit_of("JAVA_TOOL_OPTIONS"),
        ),
        (
            format!("{{{many}, 'LD_AUDIT': '/x'}}"),
            evidence::LOADER_PREFIX,
        ),
        (format!("{{{many}}}"), 0),
        // Not the name, but the value or a part of the name.
        (
            "{'NOT_LD_PRELOAD': 'LD_PRELOAD=1', 'NODE_OPTIONS_': '1', 'XNODE_OPTIONS': '1'}"
                .to_owned(),
            0,
        ),
        // Behind a variable that is longer than what is read at once.
        (
            "{'A': 'x' * 9000, 'LD_PRELOAD': '/x'}".to_owned(),
            evidence::LOADER_PREFIX,
        ),
        ("{'A': 'x' * 4095 + 'LD_PRELOAD=/x'}".to_owned(), 0),
    ];
    for (environment, expected) in cases {
        let event = execute(&mut node, &mut actor, "['true']", &environment);
        assert_eq!(event.loader, expected, "{environment}");
        assert_eq!(event.evidence & evidence::LOADER_UNREAD, 0, "{environment}");
    }
}

#[test]
fn an_environment_that_is_too_long_to_read_is_told_as_such() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let many = "{f'V{n}': '' for n in range(3000)}";
    let event = execute(&mut node, &mut actor, "['true']", many);
    assert_eq!(
        event.evidence & evidence::LOADER_UNREAD,
        evidence::LOADER_UNREAD
    );
    let image = node.maps().image(event.exec_id);
    // It may have ended by now; while it ran, nothing of it was known well.
    assert!(image.is_none_or(|image| image.level <= level::SCOPE));
}

/// What stands in `/proc` is the process's own memory, and its own to write.
#[test]
fn a_program_cannot_take_back_what_it_was_executed_with() {
    let mut node = Node::start();
    ask_for_arguments(&mut node);
    let mut actor = node.attested(level::IMAGE);
    let erase = "import ctypes, os
start = [int(field) for field in open('/proc/self/stat').read().rsplit(')')[-1].split()[45:49]]
ctypes.memset(start[0], 0, start[1] - start[0])
ctypes.memset(start[2], 0, start[3] - start[2])
print(open('/proc/self/environ', 'rb').read().strip(b'\\0'), flush=True)
os.read(0, 1)";
    actor.run(&format!(
        "import subprocess
eraser = subprocess.Popen([sys.executable, '-I', '-S', '-c', {erase:?}, 'argument'],
    env={{'LD_DEBUG_OUTPUT': '/x'}}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
said = eraser.stdout.readline().decode()"
    ));
    assert_eq!(actor.run("said").as_str().unwrap().trim(), "b''");
    let pid = u32::try_from(actor.run("eraser.pid").as_u64().unwrap()).unwrap();
    let event = node.executed(pid);
    assert_eq!(event.loader, evidence::LOADER_PREFIX);
    let told = node.arguments_of(event.exec_id);
    assert!(told.ends_with(b"\0argument\0"));
    actor.run("eraser.kill()\neraser.wait()");
}

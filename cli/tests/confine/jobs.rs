//! A shell on a terminal behaves as ever, and nothing is typed into that terminal.

use crate::{
    sandbox::{Sandbox, users},
    terminal::Terminal,
};

#[test]
fn a_shell_controls_its_jobs() {
    for user in users() {
        let sandbox = Sandbox::enforced(user);
        let shell = sandbox.inside(&["bash", "--norc", "--noprofile", "-i"]);
        let mut terminal = Terminal::start(&sandbox, &shell);
        terminal.expect("ready> ");
        terminal.send("sh -c 'echo go$((1)); exec cat'\r");
        // What is typed before the shell has left the terminal to its job, the shell reads.
        terminal.expect("go1\r\n");
        // The terminal echoes what is typed, and cat prints it again.
        terminal.send("hello\r");
        terminal.expect("hello\r\nhello\r\n");
        terminal.send("\x1a");
        terminal.expect("Stopped");
        terminal.expect("ready> ");
        terminal.send("jobs\r");
        terminal.expect("Stopped");
        terminal.expect("ready> ");
        terminal.send("fg\r");
        terminal.expect("exec cat'\r\n");
        terminal.send("again\r");
        terminal.expect("again\r\nagain\r\n");
        terminal.send("\x03");
        terminal.expect("ready> ");
        terminal.send("echo status $?\r");
        terminal.expect("status 130");
        terminal.expect("ready> ");
        terminal.send("exit 7\r");
        assert_eq!(terminal.wait().code(), Some(7), "uid {user}");
    }
}

#[test]
fn nothing_is_typed_into_the_terminal_of_the_caller() {
    // TIOCSTI, TIOCLINUX and TIOCGWINSZ.
    let script = "sub t { my $b = $_[1]; print ioctl(STDIN, $_[0], $b) ? 'done' : $!{EPERM} ? 'refused' : $!, ' ' } \
        use Errno; t(0x5412, 'x'); t(0x541C, chr(2)); t(0x5413, ' ' x 8); print \"end\\n\"";
    for user in users() {
        let sandbox = Sandbox::enforced(user);
        let mut terminal = Terminal::start(&sandbox, &sandbox.inside(&["perl", "-e", script]));
        terminal.expect("refused refused done end");
        assert!(terminal.wait().success());
    }
}

//! Other processes: those outside are out of reach, and those inside but to debug.

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    process::{Child, Stdio},
};

use lanyard_protocol::control::Admitted;

use crate::sandbox::{Sandbox, ordinary, printed, text, users};

/// A process outside, ended with the test.
struct Outside(Child);

impl Outside {
    fn start(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.outside(&["sleep", "600"]);
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Perl that tries everything on `$p` and prints what is done.
fn attempts() -> String {
    format!(
        r#"
        use Errno;
        sub try {{ my ($name, $done) = @_; print "$name " if $done }}
        sub attempts {{ my $p = shift;
            try('environ', open(my $e, '<', "/proc/$p/environ"));
            try('mem-read', open(my $r, '<', "/proc/$p/mem"));
            try('mem-write', open(my $w, '+<', "/proc/$p/mem"));
            try('fd', defined readlink("/proc/$p/fd/0"));
            # Any address will do: one that is not there answers EFAULT, after the right to read was found.
            my $b = "\0" x 8; my $v = pack('QQ', unpack('Q', pack('P', $b)), 8);
            my $done = syscall({vm_read}, $p + 0, $v, 1, $v, 1, 0);
            try('vm-read', $done >= 0 || $!{{EFAULT}});
            try('limit', syscall({limit}, $p + 0, 7, my $l = pack('QQ', 64, 64), 0) == 0);
            try('signal', kill(0, $p) == 1);
            try('trace', syscall({trace}, 16, $p + 0, 0, 0) == 0);
        }}
        $| = 1;
        "#,
        vm_read = libc::SYS_process_vm_readv,
        limit = libc::SYS_prlimit64,
        trace = libc::SYS_ptrace,
    )
}

#[test]
fn a_process_outside_is_out_of_reach() {
    for user in users() {
        let sandbox = Sandbox::enforced(user);
        let outside = Outside::start(&sandbox);
        let script = format!("{} attempts({}); print 'end'", attempts(), outside.pid());
        let done = printed(&mut sandbox.outside(&["perl", "-e", &script]));
        for reached in [
            "environ",
            "mem-read",
            "mem-write",
            "fd",
            "vm-read",
            "limit",
            "signal",
        ] {
            assert!(done.contains(reached), "uid {user}: the other side: {done}");
        }
        assert_eq!(sandbox.perl(&script), "end", "uid {user}");
    }
}

#[test]
fn an_agent_of_the_same_user_is_out_of_reach() {
    let sandbox = Sandbox::enforced(ordinary());
    let mut other = sandbox.inside(&["sh", "-c", "echo ready; exec sleep 600"]);
    let mut other = Outside(other.stdout(Stdio::piped()).spawn().unwrap());
    let mut ready = [0; 6];
    let output = other.0.stdout.as_mut().unwrap();
    std::io::Read::read_exact(output, &mut ready).unwrap();
    let script = format!("{} attempts({}); print 'end'", attempts(), other.pid());
    assert_eq!(sandbox.perl(&script), "end");
}

/// What one process of a scope does to another.
fn among_own(admitted: Admitted) -> String {
    let sandbox = Sandbox::new(ordinary(), admitted);
    let script = format!(
        "{} my $p = fork; if (!$p) {{ close STDOUT; close STDERR; sleep 600 }} attempts($p); kill 9, $p; waitpid $p, 0",
        attempts()
    );
    sandbox.perl(&script)
}

#[test]
fn a_process_of_the_scope_is_changed_only_to_debug() {
    let done = among_own(Admitted::default());
    assert_eq!(done, "environ mem-read fd signal");
    let debug = Admitted {
        debug: true,
        ..Admitted::default()
    };
    // Memory is written by ptrace; there is no write rule below /proc for anybody.
    assert_eq!(among_own(debug), "environ mem-read fd vm-read signal trace");
}

#[test]
fn an_abstract_socket_outside_is_not_reached_and_an_own_one_is() {
    let sandbox = Sandbox::enforced(ordinary());
    let name = format!("lanyard-confine-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let connect = |name: &str| {
        format!(
            "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); print connect($s, pack('Sa*', AF_UNIX, \"\\0{name}\")) ? 'connected' : $!{{EPERM}} ? 'refused' : $!;"
        )
    };
    let outside = printed(&mut sandbox.outside(&["perl", "-e", &connect(&name)]));
    assert_eq!(outside, "connected");
    assert_eq!(sandbox.perl(&connect(&name)), "refused");
    let own = format!("{name}-own");
    let script = format!(
        "use Socket; socket(my $l, AF_UNIX, SOCK_STREAM, 0); bind($l, pack('Sa*', AF_UNIX, \"\\0{own}\")) && listen($l, 1) or die; {}",
        connect(&own)
    );
    assert_eq!(sandbox.perl(&script), "connected");
}

#[test]
fn a_signal_of_an_agent_ends_its_own_processes_and_no_other() {
    let sandbox = Sandbox::enforced(ordinary());
    let outside = Outside::start(&sandbox);
    let script = format!(
        "sleep 600 & kill $! && wait $!; echo own $?; kill {}; echo outside $?",
        outside.pid()
    );
    let output = sandbox.shell(&script);
    assert_eq!(text(&output.stdout), "own 143\noutside 1\n", "{output:?}");
}

//! The programs for unix sockets, which `aya` cannot load: it has no name for their attach types, and cannot call
//! functions of the kernel.

use std::{
    collections::HashSet,
    io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use aya::{Ebpf, maps::Map};
use aya_obj::{Object, generated::bpf_insn};
use lanyard_node_agent_abi::kernel_function;

use super::{btf::Types, object::LoadError};

/// The programs, with their `enum bpf_attach_type` (include/uapi/linux/bpf.h).
pub(super) const PROGRAMS: &[(&str, u32)] = &[("connect_unix", 49), ("sendmsg_unix", 50)];

/// Came with the hooks, in Linux 6.7 (net/core/filter.c).
const CAME_WITH_THE_HOOKS: &str = "bpf_sock_addr_set_sun_path";

/// Loads the programs to work on the maps of `loaded`, which was made of the same `elf`: each with its name and
/// attach type. None on a kernel without the hooks.
pub(super) fn load(
    elf: &[u8],
    loaded: &Ebpf,
    types: &Types<'_>,
) -> Result<Vec<(&'static str, u32, OwnedFd)>, LoadError> {
    if types.function(CAME_WITH_THE_HOOKS).is_none() {
        return Ok(Vec::new());
    }
    let mut programs = Vec::new();
    for (name, attach_type) in PROGRAMS {
        let instructions = prepare(elf, loaded, types, name)
            .map_err(|reason| LoadError::Prepare { name, reason })?;
        let program = load_program(name, &instructions, *attach_type)
            .map_err(|(source, log)| LoadError::Refused { name, source, log })?;
        programs.push((*name, *attach_type, program));
    }
    Ok(programs)
}

/// The instructions of one program, with the maps and the kernel's functions that it names put in.
fn prepare(
    elf: &[u8],
    loaded: &Ebpf,
    types: &Types<'_>,
    name: &str,
) -> Result<Vec<bpf_insn>, String> {
    let mut object = Object::parse(elf).map_err(|error| error.to_string())?;
    let maps: Vec<(String, RawFd, aya_obj::Map)> = loaded
        .maps()
        .filter_map(|(name, map)| {
            let description = object.maps.get(name)?.clone();
            Some((name.to_owned(), descriptor_of(map)?, description))
        })
        .collect();
    let text: HashSet<_> = object
        .functions
        .keys()
        .map(|(section, _)| *section)
        .collect();
    let named = maps.iter().map(|(name, fd, map)| (name.as_str(), *fd, map));
    object
        .relocate_maps(named, &text)
        .and_then(|()| object.relocate_calls(&text))
        .map_err(|error| error.to_string())?;
    let program = object.programs.get(name).ok_or("the object has none")?;
    let function = object.functions.get(&program.function_key());
    let mut instructions = function
        .ok_or("the object has no code of it")?
        .instructions
        .clone();
    let casts = call_kernel(
        &mut instructions,
        kernel_function::CAST_TO_KERNEL_CONTEXT,
        types
            .function("bpf_cast_to_kern_ctx")
            .ok_or("this kernel has no bpf_cast_to_kern_ctx")?,
    );
    if casts == 0 {
        return Err("it reads no address".to_owned());
    }
    Ok(instructions)
}

/// Puts the kernel's function in the place of the number that stands for it, and counts how often.
fn call_kernel(instructions: &mut [bpf_insn], stands_for: i32, function: i32) -> usize {
    /// `BPF_JMP | BPF_CALL`
    const CALL: u8 = 0x85;
    /// `BPF_PSEUDO_KFUNC_CALL`
    const KERNEL_FUNCTION: u8 = 2;
    let calls = instructions
        .iter_mut()
        .filter(|each| each.code == CALL && each.src_reg() == 0 && each.imm == stands_for);
    calls
        .map(|call| {
            call.set_src_reg(KERNEL_FUNCTION);
            call.imm = function;
        })
        .count()
}

fn descriptor_of(map: &Map) -> Option<RawFd> {
    // The kinds that the object has.
    let (Map::Array(data)
    | Map::HashMap(data)
    | Map::LpmTrie(data)
    | Map::PerCpuArray(data)
    | Map::RingBuf(data)
    | Map::SkStorage(data)) = map
    else {
        return None;
    };
    Some(data.fd().as_fd().as_raw_fd())
}

/// `BPF_PROG_LOAD` of bpf(2), up to the attach type (include/uapi/linux/bpf.h).
#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// Loads a program; what the verifier said last if it refuses.
fn load_program(
    name: &str,
    instructions: &[bpf_insn],
    attach_type: u32,
) -> Result<OwnedFd, (io::Error, String)> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    /// `BPF_PROG_TYPE_CGROUP_SOCK_ADDR`
    const SOCKET_ADDRESS: u32 = 18;
    /// Where a verifier's log of a program of this size surely ends.
    const LOG: u32 = 1 << 20;
    let mut log = vec![0_u8; LOG as usize];
    let attributes = ProgramLoad {
        program_type: SOCKET_ADDRESS,
        instruction_count: u32::try_from(instructions.len())
            .map_err(|error| (io::Error::other(error), String::new()))?,
        instructions: instructions.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        log_level: 1,
        log_size: LOG,
        log: log.as_mut_ptr() as u64,
        kernel_version: 0,
        flags: 0,
        name: short(name),
        interface: 0,
        attach_type,
    };
    #[expect(unsafe_code, reason = "aya has no call for these attach types")]
    // SAFETY: a struct of the layout that the command takes, with its own length; everything it points to lives
    // through the call, and the log is as long as it says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const attributes,
            size_of::<ProgramLoad>(),
        )
    };
    match i32::try_from(result) {
        #[expect(unsafe_code, reason = "the kernel hands out a bare number")]
        // SAFETY: a descriptor the kernel just made for this call, owned by nobody else.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err((io::Error::last_os_error(), last_lines(&log))),
    }
}

/// A name as the kernel keeps it: fifteen bytes and a NUL.
fn short(name: &str) -> [u8; 16] {
    let mut short = [0; 16];
    for (place, byte) in short.iter_mut().take(15).zip(name.bytes()) {
        *place = byte;
    }
    short
}

/// The end of a text that a NUL ends.
fn last_lines(log: &[u8]) -> String {
    const LINES: usize = 20;
    let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(code: u8, source: u8, imm: i32) -> bpf_insn {
        let mut instruction = bpf_insn {
            code,
            _bitfield_align_1: [],
            _bitfield_1: bpf_insn::new_bitfield_1(0, 0),
            off: 0,
            imm,
        };
        instruction.set_src_reg(source);
        instruction
    }

    #[test]
    fn only_the_calls_that_stand_for_it_become_calls_of_the_kernel() {
        let stands_for = kernel_function::CAST_TO_KERNEL_CONTEXT;
        let mut program = [
            instruction(0x85, 0, stands_for),
            instruction(0x85, 0, 14),
            instruction(0x85, 1, stands_for),
            instruction(0xb7, 0, stands_for),
        ];
        assert_eq!(call_kernel(&mut program, stands_for, 4711), 1);
        assert_eq!((program[0].src_reg(), program[0].imm), (2, 4711));
        assert_eq!((program[1].src_reg(), program[1].imm), (0, 14));
        assert_eq!((program[2].src_reg(), program[2].imm), (1, stands_for));
        assert_eq!((program[3].src_reg(), program[3].imm), (0, stands_for));
    }

    #[test]
    fn a_long_log_is_told_by_its_end() {
        let lines: Vec<String> = (0..100).map(|line: u32| line.to_string()).collect();
        let mut bytes = lines.join("\n").into_bytes();
        bytes.extend([0, b'x']);
        assert!(last_lines(&bytes).starts_with("80\n"));
        assert!(last_lines(&bytes).ends_with("\n99"));
        assert_eq!(last_lines(&[]), "");
    }
}

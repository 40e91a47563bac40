//! Functions of the kernel ("kfuncs") that programs call.
//!
//! A compiler has no symbol for them. A program calls the helper of a number that no helper has, and the loader
//! writes the running kernel's own number for the function into the instruction.

/// Stands for `bpf_cast_to_kern_ctx`.
pub const CAST_TO_KERNEL_CONTEXT: i32 = 0x7fff_0001;

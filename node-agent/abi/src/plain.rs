//! Types that are nothing but their bytes.

/// A type without padding whose every bit pattern is a value, so that it may be read from, and written
/// to, shared memory as bytes.
///
/// # Safety
///
/// The type is `repr(C)`, has no padding and no bit pattern that is not a value.
#[expect(
    unsafe_code,
    reason = "the promise about memory that the kernel boundary needs; made only by `plain!`"
)]
pub unsafe trait Plain: Copy + 'static {}

/// Declares a struct of fields without padding between, before or behind them.
///
/// The sum of the fields' sizes is compared with the struct's at compile time. Only fields of integers,
/// byte arrays and other plain structs fit: an `enum` or a `bool` has bit patterns that are no value.
macro_rules! plain {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        const _: () = assert!(
            core::mem::size_of::<$name>() == 0 $(+ core::mem::size_of::<$type>())*,
            concat!(stringify!($name), " has padding"),
        );

        impl $name {
            /// All bytes zero.
            pub const ZERO: Self = {
                #[expect(unsafe_code, reason = "a plain type has no bit pattern that is not a value")]
                // SAFETY: integers and byte arrays may be all zero, and `plain!` takes nothing else.
                unsafe { core::mem::zeroed() }
            };
        }

        #[expect(unsafe_code, reason = "`plain!` checks what the trait promises")]
        // SAFETY: repr(C), no padding (asserted above), and only integers and arrays of them.
        unsafe impl $crate::plain::Plain for $name {}
    };
}

pub(crate) use plain;

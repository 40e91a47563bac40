//! What each Landlock ABI lacks. `run` warns of it, and `doctor` prints it.

use landlock::{ABI, LandlockStatus, RestrictSelf};

/// What is open below an ABI, in the order in which ABIs close it ([`CLOSED_BY`]).
const GAPS: [&str; 4] = [
    "everything that your user may read, write and trace outside the project folder",
    "moving and linking files between folders, which is refused even inside the project folder",
    "cutting files to a length (truncate) that may not be written",
    "abstract unix sockets of others, and signals to processes outside",
];

/// The ABI that closes each of [`GAPS`]; `linux/Documentation/userspace-api/landlock.rst`.
///
/// Of the others, ABI 4 is about ports, which the kernel programs decide; 5 about ioctl on devices,
/// of which none but terminals and harmless ones can be opened; 7 and 8 about audit and threads; 9
/// about unix sockets in the file system, which the kernel programs decide by the local policy.
const CLOSED_BY: [u32; 4] = [1, 2, 3, 6];

/// The Landlock ABI of this kernel, as far as it is known here; 0 without Landlock.
pub(crate) fn landlock_abi() -> u32 {
    // Without a flag this changes nothing and only tells what there is.
    let asked = RestrictSelf::default().no_new_privs(false).apply();
    asked.map_or(0, |status| match status.landlock {
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
        LandlockStatus::Available { effective_abi, .. } => number(effective_abi),
    })
}

/// What an ABI leaves open, one line each.
pub(crate) fn landlock_gaps(abi: u32) -> &'static [&'static str] {
    &GAPS[CLOSED_BY.partition_point(|closed_by| *closed_by <= abi)..]
}

/// What `run` tells of an ABI, if it lacks something.
pub(crate) fn degraded(abi: u32) -> Option<String> {
    let gaps = landlock_gaps(abi);
    let what = match abi {
        0 => "this kernel has no Landlock".to_owned(),
        _ => format!("this kernel has Landlock ABI {abi}"),
    };
    (!gaps.is_empty()).then(|| format!("{what}; not closed: {}", gaps.join("; ")))
}

fn number(abi: ABI) -> u32 {
    // A later ABI of a later crate is at least what is known here.
    (1..=10)
        .rev()
        .find(|number| ABI::from(*number) <= abi)
        .and_then(|number| number.try_into().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_abi_closes_what_the_table_says() {
        assert_eq!(landlock_gaps(0), GAPS);
        assert_eq!(landlock_gaps(2), &GAPS[2..]);
        assert_eq!(landlock_gaps(5), &GAPS[3..]);
        assert!(landlock_gaps(6).is_empty() && landlock_gaps(99).is_empty());
    }

    #[test]
    fn a_warning_is_for_what_is_lacking() {
        assert_eq!(degraded(6), None);
        let told = degraded(4).unwrap();
        let expected = format!("this kernel has Landlock ABI 4; not closed: {}", GAPS[3]);
        assert_eq!(told, expected);
        let none = degraded(0).unwrap();
        assert!(none.starts_with("this kernel has no Landlock; not closed: everything"));
    }

    #[test]
    fn an_abi_is_its_number() {
        assert_eq!(number(ABI::Unsupported), 0);
        assert_eq!(number(ABI::V1), 1);
        assert_eq!(number(ABI::V7), 7);
        assert_eq!(number(ABI::V10), 10);
    }
}

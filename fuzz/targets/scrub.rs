//! Whatever a service sends, in whatever pieces: no form of the secret is left in it, and nothing else is changed.
#![no_main]
#![expect(clippy::unwrap_used, reason = "a target fails by panicking")]

mod chunks;

use base64::{
    Engine as _,
    alphabet::{Alphabet, STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use chunks::{cut, take};
use lanyard_broker::fuzzing::{forms, scrub};
use libfuzzer_sys::fuzz_target;

/// The shortest secret that is injected.
const SHORTEST: usize = 8;
/// Of a secret that has all of these, there is no mask.
const MASKS: &[u8] = b"*#!.,";

fuzz_target!(|data: &[u8]| {
    let (secret, rest) = take(data, 24);
    let (cuts, script) = take(rest, 12);
    if secret.len() < SHORTEST || MASKS.iter().all(|mask| secret.contains(mask)) {
        return;
    }
    let forms = forms(secret);
    let text = text(script, secret, &forms);
    let out = scrub(secret, &cut(&text, cuts));

    assert_eq!(
        out,
        scrub(secret, &[&text]),
        "the borders of chunks change it"
    );
    assert!(!contains(&out, secret), "the secret is left");
    for form in &forms {
        assert!(
            !contains(&out, form),
            "a form is left: {}",
            form.escape_ascii()
        );
    }
    for alphabet in [&STANDARD, &URL_SAFE] {
        assert!(!decodes_to(&out, secret, alphabet), "base64 is left");
    }
    // Exactly what belongs to an occurrence is masked, all with one byte, of which the secret has none.
    let mask = MASKS.iter().find(|mask| !secret.contains(mask));
    let mut expected = text.clone();
    for form in &forms {
        for (at, window) in text.windows(form.len()).enumerate() {
            if window == form {
                expected[at..at + form.len()].fill(*mask.unwrap());
            }
        }
    }
    assert_eq!(out, expected, "something else is changed");
});

/// A text full of whole and broken occurrences: each byte of the script is a piece of it.
fn text(script: &[u8], secret: &[u8], forms: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut script = script.iter();
    while let Some(what) = script.next() {
        let mut next = || script.next().map_or(0, |byte| usize::from(*byte));
        match what {
            0x80..0xa0 => text.extend_from_slice(&forms[next() % forms.len()]),
            0xa0..0xc0 => {
                let form = &forms[next() % forms.len()];
                text.extend_from_slice(&form[..next() % form.len()]);
            }
            0xc0..0xe0 => {
                let form = &forms[next() % forms.len()];
                text.extend_from_slice(&form[next() % form.len()..]);
            }
            0xe0.. => {
                let around = usize::from(what & 0xf);
                let plain = [&b"user:"[..around & 3], secret, &b":::"[..around >> 2]].concat();
                let alphabet = if next() % 2 == 0 {
                    &STANDARD
                } else {
                    &URL_SAFE
                };
                text.extend_from_slice(engine(alphabet).encode(plain).as_bytes());
            }
            byte => text.push(*byte),
        }
    }
    text
}

fn engine(alphabet: &Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true)
        .with_encode_padding(false);
    GeneralPurpose::new(alphabet, config)
}

/// Whether some of the text is base64 of something that holds the secret.
fn decodes_to(text: &[u8], secret: &[u8], alphabet: &Alphabet) -> bool {
    let engine = engine(alphabet);
    let runs = text.split(|byte| !alphabet.as_str().as_bytes().contains(byte));
    let mut shifted = runs.flat_map(|run| (0..4).filter_map(move |from| run.get(from..)));
    shifted.any(|run| {
        // One character alone stands for no byte.
        let whole = run.len() - usize::from(run.len() % 4 == 1);
        engine
            .decode(&run[..whole])
            .is_ok_and(|plain| contains(&plain, secret))
    })
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(text, what).is_some()
}

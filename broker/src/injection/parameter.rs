//! What a client wrote of a query under the name of a parameter that is put in, as services read names.

/// The parts of a query that no service reads as that parameter, each with what follows it until the next `&`.
pub(super) fn others_than(name: &str, query: &str) -> Vec<String> {
    let pairs = query.split('&').map(|pair| {
        // Some read `;` as `&` (HTML 4.01, B.2.2); others have it in a value, which then stays as it is.
        let kept = pair.split(';').filter(|part| !is_named(part, name));
        kept.collect::<Vec<_>>().join(";")
    });
    pairs.filter(|pair| !pair.is_empty()).collect()
}

fn is_named(part: &str, name: &str) -> bool {
    let written = part.split('=').next().unwrap_or_default();
    let decoded = decoded(written);
    let mut read = decoded.as_slice();
    // Languages with strings that end in NUL end them there.
    if let Some(end) = read.iter().position(|byte| *byte == 0) {
        read = &read[..end];
    }
    let read = read.trim_ascii();
    // `key[]` and `key[0]` are fields of `key`.
    let field_of = read.iter().position(|byte| *byte == b'[');
    let field_of = field_of.map_or(read, |end| read[..end].trim_ascii_end());
    let name = folded(name.as_bytes());
    folded(read) == name || folded(field_of) == name
}

/// Without case, and as PHP names its variables.
fn folded(name: &[u8]) -> Vec<u8> {
    let fold = |byte: &u8| match byte {
        b'.' | b' ' | b'[' => b'_',
        other => other.to_ascii_lowercase(),
    };
    name.iter().map(fold).collect()
}

/// Without its escapes. What is none loses its `%`, as with the most lenient.
fn decoded(written: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(written.len());
    let mut rest = written.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                if let Some((byte, after)) = unescaped(after) {
                    decoded.push(byte);
                    rest = after;
                }
            }
            other => decoded.push(*other),
        }
    }
    decoded
}

/// The byte of `%41` or `%u0041`, and what is behind it.
fn unescaped(after: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = match after {
        [b'u' | b'U', b'0', b'0', high, low, rest @ ..] | [high, low, rest @ ..] => {
            ([*high, *low], rest)
        }
        _ => return None,
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = digit(digits[0])? << 4 | digit(digits[1])?;
    Some((u8::try_from(byte).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_that_servers_read_as_the_name_is_taken_out() {
        for own in [
            "api_key",
            "api_key=own",
            "API_KEY=own",
            "api%5Fkey=own",
            "%61pi_key=own",
            "%u0061pi_key=own",
            "+api_key=own",
            "%20api_key=own",
            "api_key+=own",
            "api_key%09=own",
            "api_key%00x=own",
            "api_key[]=own",
            "api_key[0]=own",
            "api_key[a][b]=own",
            "api_key%5B0%5D=own",
            "api.key=own",
            "api+key=own",
            "api[key=own",
            "ap%i_key=own",
        ] {
            let query = format!("a=1&{own}&b=2");
            assert_eq!(others_than("api_key", &query), ["a=1", "b=2"], "{own}");
            let query = format!("a=1;{own}&b=2");
            assert_eq!(others_than("api_key", &query), ["a=1", "b=2"], "{own}");
        }
    }

    #[test]
    fn what_is_named_otherwise_stays_as_it_is_written() {
        for other in [
            "api_keys=1",
            "x_api_key=1",
            "apikey=1",
            "a=api_key",
            "a=1;b=2",
            "a%5b%5d=%20",
            "=api_key",
            "filter[api_key]=1",
            "%zz=1",
        ] {
            assert_eq!(others_than("api_key", other), [other]);
        }
    }
}

//! Traces as Rust, to paste into `traces.rs`.

use std::fmt::Write;

use super::seeds::Divergence;

/// Fields of which the value is a variant, and its type.
const TYPES: &[(&str, &str)] = &[
    ("spec: ", "Spec::"),
    ("mode: Any", "WaitMode::"),
    ("mode: All", "WaitMode::"),
    ("mode: Open", "OpenMode::"),
    ("mode: CreateNew", "OpenMode::"),
    ("over: ", "LockChoice::"),
    ("kind: Panicked", "FailureKind::"),
    ("kind: ", "Kind::"),
    ("signal: Terminate", "StopSignal::"),
    ("signal: Kill", "StopSignal::"),
    ("signal: ", "Signal::"),
    ("object: ", "Selector::"),
    ("memory: ", "SharedMemory::"),
    ("outcome: ", "Outcome::"),
    ("ending: ", "End::"),
    ("body: ", "Request::"),
];

/// A test that takes these steps.
pub(crate) fn source(seed: u64, divergence: &Divergence) -> String {
    let mut text = format!("#[test]\nfn seed_{seed}() {{\n");
    let defaults = protocol::Limits::default();
    let limits = &divergence.limits;
    let _ = writeln!(
        text,
        "    let limits = Limits {{\n        objects_max: {},\n        mirrored_events_max: {},\n        \
         wait_targets_max: {},\n        session_waits_max: {},\n        calls_and_items_max: {},\n        \
         stored_bytes_max: {},\n        memory_bytes_max: {},\n        ..Limits::default()\n    }};",
        limits.objects_max,
        limits.mirrored_events_max,
        limits.wait_targets_max,
        limits.session_waits_max,
        limits.calls_and_items_max,
        limits.stored_bytes_max.min(defaults.stored_bytes_max),
        limits.memory_bytes_max,
    );
    text.push_str("    agree(\n        &limits,\n        &[\n");
    for step in &divergence.steps {
        let _ = writeln!(text, "            SimulatedStep::{},", rust(&format!("{step:?}")));
    }
    text.push_str("        ],\n    );\n}\n");
    text
}

/// What `Debug` writes, as Rust.
fn rust(debug: &str) -> String {
    let mut text = String::new();
    let mut rest = debug;
    let mut depths = Vec::new();
    while let Some(character) = rest.chars().next() {
        if let Some((field, prefix)) = TYPES.iter().find(|(field, _)| rest.starts_with(field)) {
            let name = &field[..field.find(' ').unwrap() + 1];
            text.push_str(name);
            text.push_str(prefix);
            rest = &rest[name.len()..];
            continue;
        }
        if let Some(after) = rest.strip_prefix("ObjectId(") {
            let (id, after) = after.split_once(')').unwrap();
            let number = uuid::Uuid::parse_str(id).map_or(0, |id| id.as_u128());
            let _ = write!(text, "id({number})");
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix("18446744073709551615") {
            text.push_str("CURRENT");
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix("refusal: Some(") {
            text.push_str("refusal: Some(Code::");
            rest = after;
            continue;
        }
        if rest.starts_with("[0, 0, 0, 0, 0, 0, 0, 0, 0")
            && let Some((zeros, after)) = rest.split_once(']')
            && zeros[1..].split(", ").all(|byte| byte == "0")
        {
            let _ = write!(text, "bytes({})", zeros.split(", ").count());
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix("targets: [") {
            text.push_str("targets: targets([");
            depths.push("])");
            if !after.starts_with(']') {
                text.push_str("Target::");
            }
            rest = after;
            continue;
        }
        if character == '[' {
            let is_bytes = text.ends_with("item: ") || text.ends_with("arguments: ") || text.ends_with('(');
            text.push_str(if is_bytes { "&[" } else { "vec![" });
            depths.push("]");
        } else if character == ']' {
            text.push_str(depths.pop().unwrap_or("]"));
        } else if rest.starts_with("}, ") && depths.last() == Some(&"])") {
            text.push_str("}, Target::");
            rest = &rest["}, ".len()..];
            continue;
        } else {
            text.push(character);
        }
        rest = &rest[character.len_utf8()..];
    }
    text
}

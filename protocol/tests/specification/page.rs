//! Reads `PROTOCOL.md` as a program would: tables into types, fenced blocks into bytes.
//!
//! [`SpecificationPage::skip`] then walks over bytes knowing nothing but the page, so that it notices a field that is
//! missing, surplus or of another type in a table. It is strict where it could mistake one type for another: a u64 must
//! be over the range of a u32, a u32 over that of a bool, an i32 so far from zero that its bytes would be those of a
//! larger u32 than any in the samples, and bytes must not be UTF-8.

use std::collections::{BTreeMap, BTreeSet};

/// What the page says.
pub(crate) struct SpecificationPage {
    /// The text of the page.
    pub(crate) text: &'static str,
    /// Enums by name: their variants by number.
    pub(crate) enums: BTreeMap<String, BTreeMap<u64, Variant>>,
    /// Structs by name: their fields in order.
    pub(crate) structs: BTreeMap<String, Vec<Field>>,
    /// Limits and versions by name.
    pub(crate) numbers: BTreeMap<String, u64>,
    /// Worked examples by name: the bytes of one whole frame each.
    pub(crate) examples: BTreeMap<String, Vec<u8>>,
}

/// A row of a table whose header is `number`, the name of an enum, `fields`, and more.
pub(crate) struct Variant {
    /// Its name.
    pub(crate) name: String,
    /// Its fields in order.
    pub(crate) fields: Vec<Field>,
}

/// A field of a struct or of a variant.
pub(crate) struct Field {
    /// Its name; a variant with a single field may leave it without one.
    pub(crate) name: Option<String>,
    /// Its type in the words of the page, such as `option string`.
    pub(crate) kind: String,
}

impl SpecificationPage {
    /// Reads the page that lies beside this crate.
    pub(crate) fn read() -> SpecificationPage {
        let mut page = SpecificationPage {
            text: include_str!("../../PROTOCOL.md"),
            enums: BTreeMap::new(),
            structs: BTreeMap::new(),
            numbers: BTreeMap::new(),
            examples: BTreeMap::new(),
        };
        let mut lines = page.text.lines();
        while let Some(line) = lines.next() {
            if line.starts_with('|') {
                let rows: Vec<_> =
                    lines.by_ref().take_while(|line| line.starts_with('|')).map(cells).collect();
                page.add_table(&cells(line), &rows[1..]);
            } else if line == "```text" {
                let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
                page.add_block(&block);
            }
        }
        page
    }

    fn add_table(&mut self, header: &[&str], rows: &[Vec<&str>]) {
        match header {
            ["number", name, "fields", ..] => {
                let variants: BTreeMap<_, _> = rows.iter().map(|row| variant(row)).collect();
                assert_eq!(variants.len(), rows.len(), "a number of {name} is there twice");
                let former = self.enums.insert(unquote(name), variants);
                assert!(former.is_none(), "{name} has two tables");
            }
            [name, "type", ..] => {
                let fields = rows.iter().flat_map(|row| fields(&format!("{} {}", row[0], row[1])));
                let former = self.structs.insert(unquote(name), fields.collect());
                assert!(former.is_none(), "{name} has two tables");
            }
            ["name", "value", ..] => {
                for row in rows {
                    let former =
                        self.numbers.insert(unquote(row[0]), row[1].replace(',', "").parse().unwrap());
                    assert!(former.is_none(), "{} is there twice", row[0]);
                }
            }
            // Any other table is for people alone.
            _ => {}
        }
    }

    fn add_block(&mut self, lines: &[&str]) {
        let Some(name) = lines.first().and_then(|line| line.strip_prefix("frame: ")) else {
            return;
        };
        let former =
            self.examples.insert(name.to_string(), lines[1..].iter().flat_map(|line| hex(line)).collect());
        assert!(former.is_none(), "two examples are called {name}");
    }

    /// The names of all types and variants.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        let variants = self.enums.values().flat_map(BTreeMap::values).map(|variant| variant.name.as_str());
        variants
            .chain(self.enums.keys().map(String::as_str))
            .chain(self.structs.keys().map(String::as_str))
            .collect()
    }

    /// Walks over one value of a type, and says what does not fit.
    pub(crate) fn skip(&self, kind: &str, bytes: &mut &[u8]) -> Result<(), String> {
        if let Some(inner) = kind.strip_prefix("option ") {
            return match take(bytes, 1)?[0] {
                0 => Ok(()),
                1 => self.skip(inner, bytes),
                other => Err(format!("an option begins with {other}")),
            };
        }
        if let Some(inner) = kind.strip_prefix("list ") {
            return (0..varint(bytes)?).try_for_each(|_| self.skip(inner, bytes));
        }
        if let Some((first, second)) = kind.strip_prefix("pair ").and_then(|both| both.split_once(' ')) {
            return self.skip(first, bytes).and_then(|()| self.skip(second, bytes));
        }
        if let Some(variants) = self.enums.get(kind) {
            let number = varint(bytes)?;
            let variant = variants.get(&number).ok_or_else(|| format!("{kind} has no number {number}"))?;
            return self.skip_fields(&variant.fields, bytes);
        }
        if let Some(fields) = self.structs.get(kind) {
            return self.skip_fields(fields, bytes);
        }
        skip_simple(kind, bytes)
    }

    fn skip_fields(&self, fields: &[Field], bytes: &mut &[u8]) -> Result<(), String> {
        fields.iter().try_for_each(|field| self.skip(&field.kind, bytes))
    }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn unquote(cell: &str) -> String {
    cell.trim_matches('`').to_string()
}

fn variant(row: &[&str]) -> (u64, Variant) {
    (row[0].parse().unwrap(), Variant { name: unquote(row[1]), fields: fields(row[2]) })
}

/// Reads a list such as `` `id` uuid, `name` option string ``.
fn fields(cell: &str) -> Vec<Field> {
    let parts = cell.split(", ").filter(|part| !part.is_empty());
    parts
        .map(|part| match part.strip_prefix('`').and_then(|part| part.split_once("` ")) {
            Some((name, kind)) => Field { name: Some(name.into()), kind: kind.replace('`', "") },
            None => Field { name: None, kind: part.replace('`', "") },
        })
        .collect()
}

/// Reads the bytes at the beginning of a line; two spaces end them.
fn hex(line: &str) -> Vec<u8> {
    let digits = line.split("  ").next().unwrap_or_default();
    let pairs = digits.split(' ').filter(|pair| !pair.is_empty());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("not bytes: {line}"))).collect()
}

/// Where the samples' i32 begin, as they are written; their u32 are below.
const FAR: u64 = 1 << 31;

/// Walks over one value of a type without parts, which must not look like one of another type.
fn skip_simple(kind: &str, bytes: &mut &[u8]) -> Result<(), String> {
    let fits = match kind {
        "bool" => take(bytes, 1)?[0] <= 1,
        "u32" => (2..FAR).contains(&varint(bytes)?),
        "i32" => (FAR..=u64::from(u32::MAX)).contains(&varint(bytes)?),
        "u64" => varint(bytes)? > u64::from(u32::MAX),
        "uuid" => take(bytes, 16).is_ok(),
        "bytes" | "string" => {
            let content = varint(bytes).and_then(|length| take(bytes, length as usize))?;
            std::str::from_utf8(content).is_ok() == (kind == "string")
        }
        _ => return Err(format!("the page does not say what a `{kind}` is")),
    };
    if fits { Ok(()) } else { Err(format!("this cannot be told to be a {kind}")) }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    bytes.split_off(..length).ok_or_else(|| "bytes are missing".into())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err("an integer does not end".into())
}

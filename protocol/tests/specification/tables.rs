//! The page's tables of types against the crate's types.

use std::collections::BTreeSet;

use crate::page::{Field, SpecificationPage};
use crate::samples::{self, Sample};

fn names(fields: &[Field]) -> Vec<&str> {
    fields.iter().filter_map(|field| field.name.as_deref()).collect()
}

/// What the page has in the place of a sample: the names of its fields, or why there is none.
fn documented<'a>(page: &'a SpecificationPage, sample: &Sample) -> Result<Vec<&'a str>, String> {
    let Some(name) = sample.variant else {
        let fields = page.structs.get(sample.owner).ok_or("it has no table")?;
        return Ok(names(fields));
    };
    let variants = page.enums.get(sample.owner).ok_or("its enum has no table")?;
    // Every enum has fewer than 128 variants, so the number is the first byte.
    let number = u64::from(sample.bytes[0]);
    let variant = variants.get(&number).ok_or_else(|| format!("number {number} is not in the table"))?;
    if variant.name != name {
        return Err(format!("the page calls number {number} {}", variant.name));
    }
    Ok(names(&variant.fields))
}

#[test]
fn every_variant_and_struct_stands_in_the_page_with_its_number_and_fields() {
    let page = SpecificationPage::read();
    for sample in samples::all() {
        let what = format!("{} {}", sample.owner, sample.variant.unwrap_or_default());
        assert_eq!(documented(&page, &sample), Ok(sample.fields), "{what}");
    }
}

#[test]
fn the_page_documents_nothing_that_is_not_there() {
    let page = SpecificationPage::read();
    let samples = samples::all();
    let owners: BTreeSet<_> = samples.iter().map(|sample| sample.owner).collect();
    for (name, variants) in &page.enums {
        let existing = samples.iter().filter(|sample| sample.owner == name && sample.variant.is_some());
        assert_eq!(existing.count(), variants.len(), "variants of {name}");
    }
    for name in page.structs.keys() {
        // The crate has no struct for what follows the frozen part of a welcome.
        assert!(owners.contains(name.as_str()) || name == "Welcome", "{name}");
    }
}

#[test]
fn a_reader_of_the_page_alone_reads_what_the_crate_writes() {
    let page = SpecificationPage::read();
    for sample in samples::all() {
        let mut rest = sample.bytes.as_slice();
        let outcome = page.skip(sample.owner, &mut rest);
        assert_eq!((outcome, rest), (Ok(()), &[][..]), "{} {:?}", sample.owner, sample.variant);
    }
}

#[test]
fn every_type_and_variant_that_the_page_mentions_exists() {
    let page = SpecificationPage::read();
    let known = page.names();
    let mut fenced = false;
    for line in page.text.lines() {
        fenced ^= line.starts_with("```");
        if fenced {
            continue;
        }
        for word in line.split('`').skip(1).step_by(2) {
            let is_name = word.starts_with(|character: char| character.is_ascii_uppercase())
                && word.contains(|character: char| character.is_ascii_lowercase())
                && word.chars().all(|character| character.is_ascii_alphanumeric());
            assert!(!is_name || known.contains(word), "the page mentions `{word}`, which does not exist");
        }
    }
}

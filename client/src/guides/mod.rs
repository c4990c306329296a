//! Pages of documentation that belong to no single item.

pub mod python;
pub mod speed;

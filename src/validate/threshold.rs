//! Threshold files.
use super::json::Node;
use super::shape::Context;
pub(super) fn check_file(_root: &Node<'_>, _context: &mut Context<'_, '_>) {}

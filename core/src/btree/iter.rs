//! The items of a tree in order, from the first or from any.

use std::slice;

use super::{Child, Node, before};

/// Items in order. Its length is exact if it began with the first.
#[derive(Clone, Debug)]
pub(crate) struct Iter<'a, T> {
    /// What is left of each node on the way to the leaf.
    above: Vec<slice::Iter<'a, Child<T>>>,
    leaf: slice::Iter<'a, T>,
    left: usize,
}

impl<'a, T> Iter<'a, T> {
    pub(super) fn all(root: Option<&'a Child<T>>) -> Iter<'a, T> {
        Iter::from(root, |_| false)
    }

    /// From the first item for which `is_before` does not hold; it holds for those before.
    pub(super) fn from(root: Option<&'a Child<T>>, is_before: impl Fn(&T) -> bool) -> Iter<'a, T> {
        let mut iter = Iter { above: Vec::new(), leaf: [].iter(), left: root.map_or(0, |root| root.len) };
        let Some(root) = root else { return iter };
        let mut node = root.node.as_ref();
        loop {
            match node {
                Node::Leaf(items) => {
                    let at = items.partition_point(&is_before);
                    iter.leaf = items.get(at..).unwrap_or(&[]).iter();
                    return iter;
                }
                Node::Inner(children) => {
                    let mut rest = children.get(before(children, &is_before)..).unwrap_or(&[]).iter();
                    let Some(child) = rest.next() else { return iter };
                    iter.above.push(rest);
                    node = child.node.as_ref();
                }
            }
        }
    }

    /// Goes to the next leaf; false where there is none.
    fn descend(&mut self) -> bool {
        let mut node = loop {
            let Some(level) = self.above.last_mut() else { return false };
            match level.next() {
                Some(child) => break child.node.as_ref(),
                None => self.above.pop(),
            };
        };
        loop {
            match node {
                Node::Leaf(items) => {
                    self.leaf = items.iter();
                    return true;
                }
                Node::Inner(children) => {
                    let mut rest = children.iter();
                    let Some(child) = rest.next() else { return false };
                    self.above.push(rest);
                    node = child.node.as_ref();
                }
            }
        }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(item) = self.leaf.next() {
                self.left = self.left.saturating_sub(1);
                return Some(item);
            }
            if !self.descend() {
                return None;
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

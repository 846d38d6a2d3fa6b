//! A persistent B-tree of items in an order, with the sum of their weights under every node.
//!
//! A clone costs nothing and shares all; a change copies the nodes on its way, and only those that somebody else still holds.
//! Beside being found, items can be counted and drawn by weight: what comes before a range, what it weighs, and which item
//! lies at a given weight are each found on one way down.
//!
//! The order is the caller's: every call of one tree brings the same one. A comparison says how an item of the tree compares
//! with what is meant.

mod iter;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::sync::Arc;

pub(crate) use iter::Iter;

/// What a tree holds: small and cheap to clone.
pub(crate) trait Item: Clone {
    /// Its weight in draws; 0 is never drawn.
    fn weight(&self) -> u64 {
        0
    }
}

impl<T> Item for Arc<T> {}

/// Items of one node at most. Nodes of fewer than a quarter are joined with a neighbour.
const MOST: usize = 32;
const LEAST: usize = MOST / 4;

/// A persistent, ordered collection.
#[derive(Clone, Debug)]
pub(crate) struct BTree<T> {
    root: Option<Child<T>>,
}

/// A node and what is known of it without looking in.
#[derive(Clone, Debug)]
struct Child<T> {
    node: Arc<Node<T>>,
    /// The least item under it.
    first: T,
    len: usize,
    weight: u64,
}

#[derive(Clone, Debug)]
enum Node<T> {
    Leaf(Vec<T>),
    Inner(Vec<Child<T>>),
}

/// A range of neighbours by weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// The weight of all that comes before it.
    pub(crate) start: u64,
    /// Its own weight.
    pub(crate) weight: u64,
}

impl<T> Default for BTree<T> {
    fn default() -> Self {
        BTree { root: None }
    }
}

impl<T: Item> BTree<T> {
    pub(crate) fn len(&self) -> usize {
        self.root.as_ref().map_or(0, |root| root.len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The item that compares equal; of several the first.
    pub(crate) fn get(&self, order: impl Fn(&T) -> Ordering) -> Option<&T> {
        let mut node = self.root.as_ref()?.node.as_ref();
        // The first that is not less may be the first of the next node, which is looked at only if this one has none.
        let mut next = None;
        loop {
            match node {
                Node::Leaf(items) => {
                    let at = items.partition_point(|item| order(item) == Ordering::Less);
                    return items.get(at).or(next).filter(|item| order(item) == Ordering::Equal);
                }
                Node::Inner(children) => {
                    let at = before(children, |item| order(item) == Ordering::Less);
                    next = children.get(at + 1).map(|child| &child.first).or(next);
                    node = children.get(at)?.node.as_ref();
                }
            }
        }
    }

    /// Puts an item in its place; the equal one that was there is returned.
    pub(crate) fn insert(&mut self, item: T, order: impl Fn(&T, &T) -> Ordering) -> Option<T> {
        let Some(root) = self.root.take() else {
            self.root = Child::of(Node::Leaf(vec![item]));
            return None;
        };
        let mut node = root.node;
        drop(root.first);
        let (replaced, split) = Arc::make_mut(&mut node).insert(item, &order);
        let mut roots: Vec<Child<T>> = Child::around(node).into_iter().collect();
        if let Some(split) = split {
            roots.extend(Child::of(split));
        }
        self.root = if roots.len() > 1 { Child::of(Node::Inner(roots)) } else { roots.pop() };
        replaced
    }

    /// Takes the item out that compares equal.
    pub(crate) fn remove(&mut self, order: impl Fn(&T) -> Ordering) -> Option<T> {
        let root = self.root.as_mut()?;
        let removed = Arc::make_mut(&mut root.node).remove(&order)?;
        let mut node = root.node.clone();
        // An inner node with one child is no level of its own.
        while let Node::Inner(children) = node.as_ref() {
            let [only] = children.as_slice() else { break };
            node = only.node.clone();
        }
        self.root = Child::around(node);
        Some(removed)
    }

    /// Changes the item that compares equal, to one in the same place; false where there is none.
    pub(crate) fn update(&mut self, order: impl Fn(&T) -> Ordering, change: impl FnOnce(&mut T)) -> bool {
        if self.get(&order).is_none() {
            return false;
        }
        if let Some(root) = self.root.as_mut() {
            root.update(&order, change);
        }
        true
    }

    /// Every item, in order.
    pub(crate) fn iter(&self) -> Iter<'_, T> {
        Iter::all(self.root.as_ref())
    }

    /// The items that compare equal: neighbours, by the order of the tree.
    pub(crate) fn range<'a, F: Fn(&T) -> Ordering + 'a>(&'a self, order: F) -> impl Iterator<Item = &'a T> {
        let from = Iter::from(self.root.as_ref(), |item| order(item) == Ordering::Less);
        from.take_while(move |item| order(item) == Ordering::Equal)
    }

    /// Where the items that compare equal lie by weight.
    pub(crate) fn span(&self, order: impl Fn(&T) -> Ordering) -> Span {
        let start = self.weight_before(|item| order(item) == Ordering::Less);
        let end = self.weight_before(|item| order(item) != Ordering::Greater);
        Span { start, weight: end.saturating_sub(start) }
    }

    /// The item on which a weight falls, counted from the first.
    pub(crate) fn at(&self, mut weight: u64) -> Option<&T> {
        let mut node = self.root.as_ref()?.node.as_ref();
        loop {
            match node {
                Node::Leaf(items) => {
                    return items.iter().find(|item| falls(&mut weight, item.weight()));
                }
                Node::Inner(children) => {
                    node = children.iter().find(|child| falls(&mut weight, child.weight))?.node.as_ref();
                }
            }
        }
    }

    /// What the items weigh for which `is_before` holds: the first ones.
    fn weight_before(&self, is_before: impl Fn(&T) -> bool) -> u64 {
        let Some(root) = &self.root else { return 0 };
        let (mut node, mut sum) = (root.node.as_ref(), 0u64);
        loop {
            match node {
                Node::Leaf(items) => {
                    let at = items.partition_point(&is_before);
                    let weights = items.iter().take(at).map(Item::weight);
                    return weights.fold(sum, u64::saturating_add);
                }
                Node::Inner(children) => {
                    let at = before(children, &is_before);
                    let weights = children.iter().take(at).map(|child| child.weight);
                    sum = weights.fold(sum, u64::saturating_add);
                    match children.get(at) {
                        Some(child) => node = child.node.as_ref(),
                        None => return sum,
                    }
                }
            }
        }
    }
}

/// Whether `left`, counted down past all that came before, falls into this weight.
fn falls(left: &mut u64, weight: u64) -> bool {
    if *left < weight {
        return true;
    }
    *left -= weight;
    false
}

/// The child under which the last item lies for which `is_before` holds; the first child if it holds for none.
fn before<T>(children: &[Child<T>], is_before: impl Fn(&T) -> bool) -> usize {
    children.partition_point(|child| is_before(&child.first)).saturating_sub(1)
}

impl<T: Item> Child<T> {
    fn of(node: Node<T>) -> Option<Child<T>> {
        Child::around(Arc::new(node))
    }

    /// `None` for a node without items.
    fn around(node: Arc<Node<T>>) -> Option<Child<T>> {
        let first = node.first()?.clone();
        let (len, weight) = node.sums();
        Some(Child { node, first, len, weight })
    }

    /// Brings what is known of the node up to date; false where it has no item left.
    fn refresh(&mut self) -> bool {
        let Some(first) = self.node.first() else { return false };
        self.first = first.clone();
        (self.len, self.weight) = self.node.sums();
        true
    }

    fn update(&mut self, order: &impl Fn(&T) -> Ordering, change: impl FnOnce(&mut T)) {
        match Arc::make_mut(&mut self.node) {
            Node::Leaf(items) => {
                let at = items.partition_point(|item| order(item) == Ordering::Less);
                if let Some(item) = items.get_mut(at) {
                    change(item);
                }
            }
            Node::Inner(children) => {
                let at = children.partition_point(|child| order(&child.first) != Ordering::Greater);
                if let Some(child) = children.get_mut(at.saturating_sub(1)) {
                    child.update(order, change);
                }
            }
        }
        self.refresh();
    }
}

impl<T: Item> Node<T> {
    fn first(&self) -> Option<&T> {
        match self {
            Node::Leaf(items) => items.first(),
            Node::Inner(children) => children.first().map(|child| &child.first),
        }
    }

    fn sums(&self) -> (usize, u64) {
        match self {
            Node::Leaf(items) => (items.len(), items.iter().map(Item::weight).fold(0, u64::saturating_add)),
            Node::Inner(children) => children
                .iter()
                .fold((0, 0), |(len, weight), child| (len + child.len, weight.saturating_add(child.weight))),
        }
    }

    /// The number of items or children.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Inner(children) => children.len(),
        }
    }

    /// The second half, once the node is too wide.
    fn split(&mut self) -> Option<Node<T>> {
        let half = self.width() / 2;
        if self.width() <= MOST {
            return None;
        }
        Some(match self {
            Node::Leaf(items) => Node::Leaf(items.split_off(half)),
            Node::Inner(children) => Node::Inner(children.split_off(half)),
        })
    }

    fn insert(&mut self, item: T, order: &impl Fn(&T, &T) -> Ordering) -> (Option<T>, Option<Node<T>>) {
        match self {
            Node::Leaf(items) => match items.binary_search_by(|known| order(known, &item)) {
                Ok(at) => return (items.get_mut(at).map(|known| std::mem::replace(known, item)), None),
                Err(at) => items.insert(at, item),
            },
            Node::Inner(children) => {
                let after = |child: &Child<T>| order(&child.first, &item) != Ordering::Greater;
                let at = children.partition_point(after).saturating_sub(1);
                let Some(child) = children.get_mut(at) else { return (None, None) };
                let (replaced, split) = Arc::make_mut(&mut child.node).insert(item, order);
                child.refresh();
                if let Some(split) = split.and_then(Child::of) {
                    children.insert(at + 1, split);
                } else {
                    return (replaced, None);
                }
            }
        }
        (None, self.split())
    }

    fn remove(&mut self, order: &impl Fn(&T) -> Ordering) -> Option<T> {
        match self {
            Node::Leaf(items) => {
                let at = items.binary_search_by(order).ok()?;
                Some(items.remove(at))
            }
            Node::Inner(children) => {
                let after = |child: &Child<T>| order(&child.first) != Ordering::Greater;
                let at = children.partition_point(after).checked_sub(1)?;
                let child = children.get_mut(at)?;
                let removed = Arc::make_mut(&mut child.node).remove(order)?;
                if !child.refresh() {
                    children.remove(at);
                } else if child.node.width() < LEAST {
                    join(children, at);
                }
                Some(removed)
            }
        }
    }

    /// Takes what a neighbour to the right holds.
    fn append(&mut self, right: &Node<T>) {
        match (self, right) {
            (Node::Leaf(items), Node::Leaf(more)) => items.extend_from_slice(more),
            (Node::Inner(children), Node::Inner(more)) => children.extend_from_slice(more),
            // Neighbours are of one height.
            (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => {}
        }
    }
}

/// Joins a child that has become narrow with a neighbour; if they are too wide together they share evenly.
fn join<T: Item>(children: &mut Vec<Child<T>>, narrow: usize) {
    let left = if narrow + 1 < children.len() { narrow } else { narrow.saturating_sub(1) };
    if left + 1 >= children.len() {
        return;
    }
    let right = children.remove(left + 1);
    let Some(child) = children.get_mut(left) else { return };
    let node = Arc::make_mut(&mut child.node);
    node.append(&right.node);
    let split = node.split();
    child.refresh();
    if let Some(split) = split.and_then(Child::of) {
        children.insert(left + 1, split);
    }
}

/// Equal where the items are: how they lie in nodes is their history.
impl<T: Item + PartialEq> PartialEq for BTree<T> {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.root, &other.root) {
            (Some(a), Some(b)) => Arc::ptr_eq(&a.node, &b.node),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same || (self.len() == other.len() && self.iter().eq(other.iter()))
    }
}

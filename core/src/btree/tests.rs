use std::collections::BTreeMap;

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;

/// Enough for three levels of nodes.
const KEYS: u16 = 2_048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair(u16, u32);

impl Item for Pair {
    fn weight(&self) -> u64 {
        self.1.into()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u16, u32),
    Remove(u16),
    Update(u16, u32),
    /// Somebody else keeps the tree as it is.
    Share,
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Step {
        // Long scripts on few keys, so that nodes fill, split, empty and join.
        let key = u16::arbitrary(g) % KEYS;
        match u8::arbitrary(g) % 16 {
            0..=8 => Step::Insert(key, u32::arbitrary(g) % 4),
            9..=13 => Step::Remove(key),
            14 => Step::Update(key, u32::arbitrary(g) % 4),
            _ => Step::Share,
        }
    }
}

fn order(a: &Pair, b: &Pair) -> Ordering {
    a.0.cmp(&b.0)
}

fn at(key: u16) -> impl Fn(&Pair) -> Ordering + Copy {
    move |pair| pair.0.cmp(&key)
}

/// What holds of every node: widths, sums, and one height.
fn check(node: &Node<Pair>, is_root: bool) -> usize {
    assert!(node.width() <= MOST && (is_root || node.width() >= LEAST), "{}", node.width());
    match node {
        Node::Leaf(items) => {
            assert!(items.is_sorted_by_key(|pair| pair.0));
            0
        }
        Node::Inner(children) => {
            assert!(children.len() > 1 || !is_root);
            let heights: Vec<usize> = children.iter().map(|child| check(&child.node, false)).collect();
            assert!(heights.windows(2).all(|pair| pair[0] == pair[1]));
            for child in children {
                assert_eq!(Some(&child.first), child.node.first());
                assert_eq!((child.len, child.weight), child.node.sums());
            }
            heights[0] + 1
        }
    }
}

fn check_against(tree: &BTree<Pair>, model: &BTreeMap<u16, u32>) {
    if let Some(root) = &tree.root {
        check(&root.node, true);
    }
    assert_eq!(tree.len(), model.len());
    assert!(tree.iter().map(|pair| (pair.0, pair.1)).eq(model.iter().map(|(key, weight)| (*key, *weight))));
}

fn run(steps: &[Step]) -> (BTree<Pair>, BTreeMap<u16, u32>) {
    let (mut tree, mut model) = (BTree::default(), BTreeMap::new());
    let mut kept: Vec<(BTree<Pair>, BTreeMap<u16, u32>)> = Vec::new();
    for step in steps {
        match *step {
            Step::Insert(key, weight) => {
                let before = tree.insert(Pair(key, weight), order).map(|pair| pair.1);
                assert_eq!(before, model.insert(key, weight));
            }
            Step::Remove(key) => assert_eq!(tree.remove(at(key)).map(|pair| pair.1), model.remove(&key)),
            Step::Update(key, weight) => {
                assert_eq!(tree.update(at(key), |pair| pair.1 = weight), model.contains_key(&key));
                model.entry(key).and_modify(|known| *known = weight);
            }
            Step::Share => kept.push((tree.clone(), model.clone())),
        }
    }
    for (tree, model) in &kept {
        check_against(tree, model);
    }
    (tree, model)
}

/// Steps by the thousand: quickcheck's own vectors are too short for a tree of several levels.
#[derive(Clone, Debug)]
struct Script(Vec<Step>);

impl Arbitrary for Script {
    fn arbitrary(g: &mut Gen) -> Script {
        let len = usize::from(u16::arbitrary(g) % 4_000);
        Script((0..len).map(|_| Step::arbitrary(g)).collect())
    }
}

quickcheck! {
    fn it_holds_what_a_map_holds_and_clones_do_not_change(script: Script) -> bool {
        let (tree, model) = run(&script.0);
        check_against(&tree, &model);
        (0..KEYS).all(|key| tree.get(at(key)).map(|pair| pair.1) == model.get(&key).copied())
    }

    fn ranges_and_weights_are_those_of_the_items(script: Script, low: u16, width: u8) -> bool {
        let (tree, model) = run(&script.0);
        let (low, high) = (low % KEYS, low % KEYS + u16::from(width));
        let within = |pair: &Pair| match pair.0 {
            key if key < low => Ordering::Less,
            key if key >= high => Ordering::Greater,
            _ => Ordering::Equal,
        };
        let sum = |keys: std::ops::Range<u16>| model.range(keys).map(|(_, weight)| u64::from(*weight)).sum::<u64>();
        let span = tree.span(within);
        let drawn = (0..span.weight).filter_map(|weight| tree.at(span.start + weight)).map(|pair| pair.0);
        let expected = model.range(low..high).flat_map(|(key, weight)| (0..*weight).map(|_| *key));
        let first = model.range(low..high).next().map(|(key, _)| *key);
        span == Span { start: sum(0..low), weight: sum(low..high) }
            && tree.range(within).map(|pair| pair.0).eq(model.range(low..high).map(|(key, _)| *key))
            && tree.get(within).map(|pair| pair.0) == first
            && drawn.eq(expected)
            && tree.at(sum(0..u16::MAX)).is_none()
    }

    fn equal_items_make_equal_trees(script: Script, other: Script) -> bool {
        let (tree, model) = run(&script.0);
        let mut anew = BTree::default();
        for (key, weight) in model.iter().rev() {
            anew.insert(Pair(*key, *weight), order);
        }
        let (different, facts) = run(&other.0);
        tree == anew && (tree == different) == (model == facts)
    }
}

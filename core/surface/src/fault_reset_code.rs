//! `culvert_core::fault::reset_code`.

use culvert_core::fault::reset_code::{CONNECT_ERROR, REFUSED_STREAM};

const _: u32 = CONNECT_ERROR;
const _: u32 = REFUSED_STREAM;

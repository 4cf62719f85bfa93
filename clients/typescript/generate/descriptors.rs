//! Prints what `proto/corelay.proto` describes, as an encoded `FileDescriptorSet` with its comments: what the TypeScript
//! client's messages are generated from.

use std::io::Write;

use prost::Message;

fn main() {
    let descriptors =
        protox::compile(["proto/corelay.proto"], ["proto"]).expect("the protocol file is valid");
    let written = std::io::stdout().write_all(&descriptors.encode_to_vec());
    written.expect("somebody reads it");
}

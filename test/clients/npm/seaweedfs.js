// seaweedfs (Playlyfe), used as its README shows: connect to one of several masters, write, find, read, remove, clusterStatus. It
// promises never to lose a write: so the master that it is connected to is killed in between.
//
//   node seaweedfs.js <folder to write files in> <master> <master> ...     a line "kill <master>" asks for a death, a line of
//                                                                          input says that it has happened
"use strict";
const assert = require("assert");
const crypto = require("crypto");
const fs = require("fs");
const path = require("path");
const SeaweedFS = require("seaweedfs");

const [folder, ...masters] = process.argv.slice(2);
const ws = new SeaweedFS({
  masters: masters.map((one) => ({host: one.split(":")[0], port: Number(one.split(":")[1])})),
  scheme: "http",
  retry_count: 60,
  retry_timeout: 100,
  log_level: "error",
});

async function roundTrip(what) {
  const text = `This is some text, ${what}`;
  const info = await ws.write(Buffer.from(text));
  const locations = await ws.find(info.fid);
  assert.ok(locations.length > 0 && locations[0].endsWith("/" + info.fid), String(locations));
  assert.strictEqual((await ws.read(info.fid)).toString(), text);
  return info.fid;
}

async function main() {
  await ws.connect();
  const status = await ws.clusterStatus();
  assert.strictEqual(typeof status.Leader, "string");
  const first = await roundTrip("before");

  const names = ["fileA.jpg", "fileB.jpg"].map((name) => path.join(folder, name));
  const contents = names.map(() => crypto.randomBytes(30000));
  names.forEach((name, i) => fs.writeFileSync(name, contents[i]));
  const info = await ws.write(names.slice());
  assert.ok((await ws.read(info.fid)).equals(contents[0]));
  assert.ok((await ws.read(info.fid + "_1")).equals(contents[1]), "the second of two");

  const copy = path.join(folder, "read.jpg");
  const into = fs.createWriteStream(copy);
  const written = new Promise((resolve) => into.on("finish", resolve));
  await ws.read(info.fid, into);
  await written;
  assert.ok(fs.readFileSync(copy).equals(contents[0]), "read into a stream");
  console.log("seaweedfs: two files by one assign, buffers and streams");

  const at = ws.address.replace("http://", "");
  console.log("kill " + at);
  await new Promise((resolve) => process.stdin.once("data", resolve));
  const second = await roundTrip("after");
  assert.notStrictEqual(ws.address, "http://" + at, "it went to another master");
  assert.strictEqual((await ws.read(first)).toString(), "This is some text, before");
  console.log("seaweedfs: writes and reads go on when the master it spoke to is killed");

  const removed = await ws.remove(second);
  assert.ok(removed.size > 0, JSON.stringify(removed));
  await assert.rejects(() => ws.read(second), /not found/);
  await assert.rejects(() => ws.remove(second), /not found/);
  await assert.rejects(() => ws.find("no file id"), /not a valid file_id/);
  await assert.rejects(() => ws.read("93,0123456789ab"), /not found/);
  console.log("seaweedfs: removed, and not found then");
}

main().then(() => process.exit(0)).catch((error) => {
  console.error(error);
  process.exit(1);
});

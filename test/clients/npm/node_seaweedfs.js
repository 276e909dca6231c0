// node-seaweedfs, used as its README shows: write (path, Buffer, stream, several), read (Buffer, stream), find, remove,
// masterStatus, systemStatus, volumeStatus, vacuum; and what the README says of options: whatever /dir/assign takes.
//
//   node node_seaweedfs.js <master host> <port> <folder to write files in>
"use strict";
const assert = require("assert");
const crypto = require("crypto");
const fs = require("fs");
const path = require("path");
const weedClient = require("node-seaweedfs");

const [host, port, folder] = process.argv.slice(2);
const client = new weedClient({server: host, port: Number(port)});

const rejected = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("was not refused");
};

async function basicUsage() {
  const content = crypto.randomBytes(200000);
  const name = path.join(folder, "file.png");
  fs.writeFileSync(name, content);
  const info = await client.write(name);
  assert.match(info.fid, /^\d+,[0-9a-f]+$/);
  assert.strictEqual(info.count, 1);
  assert.ok((await client.read(info.fid)).equals(content), "what was written is read");

  const copy = path.join(folder, "read.png");
  await new Promise((resolve, reject) => {
    const into = fs.createWriteStream(copy);
    into.on("finish", resolve).on("error", reject);
    client.read(info.fid, into).catch(reject);
  });
  assert.ok(fs.readFileSync(copy).equals(content), "what was written is read into a stream");

  // Headers go through, so a part of a file can be read.
  const part = await client.read(info.fid, null, {headers: {Range: "bytes=1000-1999"}});
  assert.ok(part.equals(content.subarray(1000, 2000)), "a range");
  console.log("node-seaweedfs: a file by path; read as buffer, stream and range");
  return info.fid;
}

async function buffersStreamsAndSeveral() {
  const one = await client.write(Buffer.from("atroo"));
  assert.strictEqual((await client.read(one.fid)).toString(), "atroo");

  const name = path.join(folder, "streamed.bin");
  const content = crypto.randomBytes(50000);
  fs.writeFileSync(name, content);
  const streamed = await client.write(fs.createReadStream(name));
  assert.ok((await client.read(streamed.fid)).equals(content), "a stream");

  const several = await client.write([Buffer.from("first"), name, Buffer.from("third")]);
  assert.strictEqual(several.count, 3);
  assert.strictEqual((await client.read(several.fid)).toString(), "first");
  assert.ok((await client.read(several.fid + "_1")).equals(content), "the second of several");
  assert.strictEqual((await client.read(several.fid + "_2")).toString(), "third");
  console.log("node-seaweedfs: a buffer, a stream, three at once by one assign");
  return [one.fid, streamed.fid];
}

async function options() {
  const copied = await client.write(Buffer.from("two copies"), {replication: "001"});
  const found = await client.find(copied.fid);
  assert.strictEqual(found.locations.length, 2, "replication 001 makes two copies");
  assert.ok(found.locations.every((one) => one.url && one.publicUrl));
  assert.strictEqual((await client.read(copied.fid)).toString(), "two copies");

  const collected = await client.write(Buffer.from("of a collection"), {collection: "pictures", ttl: "3m"});
  assert.strictEqual((await client.read(collected.fid, null, {collection: "pictures"})).toString(), "of a collection");
  const status = await client.systemStatus();
  assert.ok(status.Topology.Layouts.some((one) => one.collection === "pictures" && one.ttl === "3m"),
            JSON.stringify(status.Topology.Layouts));
  assert.match(String(await rejected(client.write(Buffer.from("x"), {replication: "xyz"}))), /replication type/);
  console.log("node-seaweedfs: replication, collection, ttl");
}

async function findAndRemove(fid) {
  assert.ok((await client.find(fid)).locations.length > 0);
  assert.match(String(await rejected(client.find("93,bla"))), /not found/);
  assert.match(String(await rejected(client.read("93,bla"))), /not found/);
  assert.strictEqual((await client.remove(fid)).count, 1);
  assert.match(String(await rejected(client.read(fid))), /not found/);
  assert.match(String(await rejected(client.remove(fid))), /not found/);
  console.log("node-seaweedfs: found, removed, then neither");
}

async function statuses(fid) {
  const cluster = await client.masterStatus();
  assert.strictEqual(typeof cluster.Leader, "string");
  assert.ok(Array.isArray(cluster.Peers));
  const system = await client.systemStatus();
  assert.ok(system.Version);
  assert.ok(system.Topology.DataCenters[0].Racks[0].DataNodes.length > 0);
  const {locations} = await client.find(fid);
  const volumes = await client.volumeStatus(locations[0].url);
  assert.ok(volumes.Volumes.some((one) => one.Id === Number(fid.split(",")[0])), JSON.stringify(volumes));
  assert.ok((await client.vacuum({garbageThreshold: 0.4})).Topology);
  console.log("node-seaweedfs: status of masters, system and a volume server; vacuum");
}

(async () => {
  const fid = await basicUsage();
  const [buffer] = await buffersStreamsAndSeveral();
  await options();
  await findAndRemove(fid);
  await statuses(buffer);
  process.exit(0);  // it leaves answers to its uploads unread, and their connections open
})().catch((error) => {
  console.error(error);
  process.exit(1);
});

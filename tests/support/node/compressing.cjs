// Calls through @grpc/grpc-js that compress every message: the arguments are the module, the
// target, the algorithm's number and a JSON list of [path, request in base64]. Prints
// [status, answer in base64] of each.
const [grpc, target, algorithm, calls] = [
  require(process.argv[2]), process.argv[3], Number(process.argv[4]), JSON.parse(process.argv[5]),
];
const same = (value) => value;
const client = new grpc.Client(target, grpc.credentials.createInsecure(), {
  'grpc.default_compression_algorithm': algorithm,
});

function call([path, body]) {
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, same, same, Buffer.from(body, 'base64'), (error, answer) => {
      resolve([error ? error.code : 0, answer ? answer.toString('base64') : '']);
    });
  });
}

(async () => {
  const found = [];
  for (const each of calls) found.push(await call(each));
  client.close();
  console.log(JSON.stringify(found));
})();

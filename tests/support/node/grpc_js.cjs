// Calls through @grpc/grpc-js without generated code: messages are bytes. Prints one JSON line.
const grpc = require(process.argv[2]);
const same = (value) => value;
const client = new grpc.Client(process.argv[3], grpc.credentials.createInsecure(), {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
});
const found = {};
const finished = (name, value) => { found[name] = value; };

function unary(path, body, options = {}) {
  return new Promise((resolve) => {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', 'x');
    let answer;
    const call = client.makeUnaryRequest(path, same, same, body, metadata, options, (_, value) => {
      answer = value;
    });
    call.on('status', (status) => setImmediate(() => resolve({
      code: status.code, details: status.details, value: answer, late: status.metadata.get('late'),
    })));
    if (options.cancel) setTimeout(() => call.cancel(), 50);
  });
}

function stream(call, send, cancelAfter) {
  return new Promise((resolve) => {
    const got = [];
    call.on('data', (data) => { got.push(data.toString()); if (got.length === cancelAfter) call.cancel(); });
    call.on('error', () => {});
    call.on('status', (status) => resolve({ code: status.code, got }));
    for (const each of send || []) call.write(Buffer.from(each));
    if (send) call.end();
  });
}

(async () => {
  const metadata = new grpc.Metadata();
  const echo = await unary('/a.B/Unary', Buffer.from('hello'));
  finished('unary', [echo.code, echo.value.toString(), echo.late]);
  const failed = await unary('/a.B/Fail', Buffer.from('NOT_FOUND'));
  finished('error', [failed.code, failed.details]);
  const large = await unary('/a.B/Count', Buffer.alloc(16 * 1024 * 1024));
  finished('large request', large.value.toString());
  finished('large answer', (await unary('/a.B/Large', Buffer.from('16777216'))).value.length);
  finished('server stream', await stream(
    client.makeServerStreamRequest('/a.B/ServerStream', same, same, Buffer.from('5'), metadata)));
  finished('bidi', await stream(client.makeBidiStreamRequest('/a.B/Bidi', same, same, metadata), ['a', 'b', 'c']));
  finished('deadline', (await unary('/a.B/Silent', Buffer.alloc(0), { deadline: Date.now() + 300 })).code);
  finished('cancelled', (await unary('/a.B/Silent', Buffer.alloc(0), { cancel: true })).code);
  finished('cancelled stream', (await stream(
    client.makeServerStreamRequest('/a.B/Endless', same, same, Buffer.alloc(0), metadata), null, 2)).code);
  const many = await Promise.all([...Array(100).keys()].map((n) => unary('/a.B/Unary', Buffer.from(`${n}`))));
  finished('parallel', many.every((each, n) => each.code === 0 && each.value.toString() === `${n}`));
  client.close();
  console.log(JSON.stringify(found));
})();

// A gRPC call by node:http2 alone, and 100 at once. Prints one JSON line.
const http2 = require('node:http2');
const session = http2.connect(`http://${process.argv[2]}`);
const framed = (body) => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
};

function call(path, body) {
  return new Promise((resolve, reject) => {
    const request = session.request({
      ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers',
    });
    const got = [];
    let status, trailers;
    // An error's only block is both the headers and the trailers.
    request.on('response', (headers) => { status = headers[':status']; trailers = headers; });
    request.on('trailers', (headers) => { trailers = headers; });
    request.on('data', (data) => got.push(data));
    request.on('error', reject);
    request.on('close', () => resolve({ status, trailers, body: Buffer.concat(got), code: request.rstCode }));
    request.end(framed(body));
  });
}

function cancelled() {
  return new Promise((resolve) => {
    const request = session.request({ ':method': 'POST', ':path': '/a.B/Silent', 'content-type': 'application/grpc' });
    request.on('error', () => {});
    request.on('close', () => resolve(request.rstCode));
    request.write(framed(Buffer.from('x')), () => request.close(http2.constants.NGHTTP2_CANCEL));
  });
}

(async () => {
  const found = {};
  const echo = await call('/a.B/Unary', Buffer.from('hello'));
  found.unary = [echo.status, echo.body.subarray(5).toString(), echo.trailers['grpc-status'], echo.trailers.late];
  const large = await call('/a.B/Unary', Buffer.alloc(16 * 1024 * 1024, 7));
  found.large = [large.body.length, large.trailers['grpc-status']];
  const failed = await call('/a.B/Fail', Buffer.from('NOT_FOUND'));
  found.error = failed.trailers['grpc-status'];
  found.cancelled = await cancelled();
  const many = await Promise.all([...Array(100).keys()].map((n) => call('/a.B/Unary', Buffer.from(`${n}`))));
  found.parallel = many.every((each, n) => each.body.subarray(5).toString() === `${n}`);
  found.pong = await new Promise((resolve) => session.ping((error) => resolve(!error)));
  session.close(() => console.log(JSON.stringify(found)));
})();

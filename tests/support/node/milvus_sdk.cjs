// Account RPCs through @zilliz/milvus2-sdk-node. Prints one JSON line: each result, or the error.
const { MilvusClient } = require(process.argv[2]);
const found = {};

(async () => {
  const login = { username: 'root', password: 'Milvus' };
  const client = new MilvusClient({ address: process.argv[3], ...login, maxRetries: 0 });
  await client.connectPromise;
  const attempt = async (name, call) => {
    try { found[name] = await call(); } catch (error) { found[name] = { error: `${error}` }; }
  };
  await attempt('create', () => client.createUser({ username: 'ned', password: 'ned-first' }));
  await attempt('list', () => client.listUsers());
  await attempt('describe', () => client.describeUser({ username: 'ned' }));
  await attempt('roles', () => client.listRoles());
  await attempt('role', () => client.describeRole({ roleName: 'admin' }));
  await attempt('grants', () => client.listGrants({ roleName: 'admin' }));
  await attempt('wrong old password', () => client.updateUser(
    { username: 'ned', oldPassword: 'wrong-old', newPassword: 'ned-second' }));
  await attempt('update', () => client.updateUser(
    { username: 'ned', oldPassword: 'ned-first', newPassword: 'ned-second' }));
  await attempt('delete', () => client.deleteUser({ username: 'ned' }));
  await attempt('create role', () => client.createRole({ roleName: 'reader' }));
  await attempt('add role', () => client.addUserToRole({ username: 'root', roleName: 'admin' }));
  await attempt('grant', () => client.grantPrivilegeV2(
    { role: 'admin', privilege: 'Search', db_name: 'default', collection_name: '*' }));
  await attempt('groups', () => client.listPrivilegeGroups());
  await attempt('backup', () => client.backupRBAC());
  await client.closeConnection();
  console.log(JSON.stringify(found));
})();

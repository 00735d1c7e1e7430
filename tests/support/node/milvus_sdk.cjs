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
  const search = { role: 'node_reader', privilege: 'Search', db_name: 'db1', collection_name: '*' };
  await attempt('create role', () => client.createRole({ roleName: 'node_reader' }));
  await attempt('create role again', () => client.createRole({ roleName: 'node_reader' }));
  await attempt('add role', () => client.addUserToRole(
    { username: 'ned', roleName: 'node_reader' }));
  await attempt('roles of ned', () => client.describeUser({ username: 'ned' }));
  await attempt('create group', () => client.createPrivilegeGroup({ group_name: 'node_group' }));
  await attempt('add to group', () => client.addPrivilegesToGroup(
    { group_name: 'node_group', privileges: ['Query'] }));
  await attempt('groups', () => client.listPrivilegeGroups());
  await attempt('drop group', () => client.dropPrivilegeGroup({ group_name: 'node_group' }));
  await attempt('grant', () => client.grantPrivilegeV2(search));
  await attempt('grant unknown', () => client.grantPrivilegeV2(
    { ...search, privilege: 'Unknown' }));
  await attempt('grants of reader', () => client.listGrants(
    { roleName: 'node_reader', db_name: 'db1' }));
  await attempt('backup', () => client.backupRBAC());
  await attempt('revoke', () => client.revokePrivilegeV2(search));
  await attempt('remove role', () => client.removeUserFromRole(
    { username: 'ned', roleName: 'node_reader' }));
  await attempt('drop role', () => client.dropRole({ roleName: 'node_reader' }));
  await attempt('delete', () => client.deleteUser({ username: 'ned' }));
  await client.closeConnection();
  console.log(JSON.stringify(found));
})();

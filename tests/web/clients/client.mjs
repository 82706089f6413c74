// Calls by Node's fetch: node client.mjs URL TOKEN PARAMETERS VARIANT [TIMES]. Prints each answer's status and body, and
// how many connections were opened.

import { subscribe } from "node:diagnostics_channel";

let connections = 0;
subscribe("undici:client:connected", () => (connections += 1));

const [url, token, json, variant, times = "1"] = process.argv.slice(2);
const parameters = JSON.parse(json);

function form() {
  const data = new FormData();
  for (const [name, value] of Object.entries(parameters)) data.append(name, value);
  return data;
}

const query = `${url}?${new URLSearchParams(parameters)}`;
const requests = {
  query: () => fetch(query, post({ "Content-Type": "application/json" })),
  form: () => fetch(url, post({}, new URLSearchParams(parameters))),
  multipart: () => fetch(url, post({}, form())),
  json: () => fetch(url, post({ "Content-Type": "application/json" }, JSON.stringify(parameters))),
};

function post(headers, body) {
  return { method: "POST", headers: { Authorization: `Bearer ${token}`, Accept: "application/json", ...headers }, body };
}

const answers = [];
for (let i = 0; i < Number(times); i++) {
  const answer = await requests[variant]();
  answers.push({ status: answer.status, body: await answer.json() });
}
console.log(JSON.stringify({ answers, connections }));

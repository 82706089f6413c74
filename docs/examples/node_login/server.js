import { createApp } from "./app.js";

const { MCN_BASE_URL = "https://api.mcn.ru/v2/rest", MCN_ACCOUNT, MCN_TOKEN, PORT = "8000" } = process.env;

createApp({ baseUrl: MCN_BASE_URL, account: MCN_ACCOUNT, token: MCN_TOKEN }).listen(Number(PORT), "127.0.0.1");

// @ts-check
/** The API's documentation: Swagger UI from our own files, without its validator, which asks another host; dark where the page is. */
"use strict";
const { SwaggerUIBundle } = /** @type {any} */ (window);
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();
SwaggerUIBundle({ url: "openapi.json", dom_id: "#documentation", deepLinking: true, validatorUrl: null });

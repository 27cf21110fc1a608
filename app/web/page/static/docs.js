// @ts-check
/** The API's documentation: Swagger UI from our own files, without its validator, which asks another host. */
"use strict";
const { SwaggerUIBundle } = /** @type {any} */ (window);
SwaggerUIBundle({ url: "openapi.json", dom_id: "#documentation", deepLinking: true, validatorUrl: null });

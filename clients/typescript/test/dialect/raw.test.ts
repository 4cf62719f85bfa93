import { expect, test } from "vitest";

import { elementsAt } from "../../src/dialect/raw.js";

test("the elements of an array stand there as they were written", () => {
  const text =
    ' { "type" : "x" , "operations": [0], "payload" :{"a":{"operations":["no"]}, "s":"\\"]}", "operations" : [ 1.0 ,' +
    ' {"a" : [1, 2 ], "b":"}\\\\"}, "x,]\\"" ,[ ] ,null,-1e3] , "z":[] } } ';
  expect(elementsAt(text, ["payload", "operations"])).toEqual([
    "1.0",
    '{"a" : [1, 2 ], "b":"}\\\\"}',
    '"x,]\\""',
    "[ ]",
    "null",
    "-1e3",
  ]);
  expect(elementsAt(text, ["payload", "z"])).toEqual([]);
  expect(elementsAt(text, ["payload", "nothing"])).toEqual([]);
  expect(elementsAt(text, ["type"])).toEqual([]);
});

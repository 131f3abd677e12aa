/**
 * The widget's block in the Salesbot designer: it hands the customer's message to the bridge,
 * waits, says the reply and leaves by the exit named like the bridge's status.
 *
 * `flask widget build` fills in the two constants below. Kommo freezes what onSalesbotDesignerSave
 * returns when the bot is saved: after an update, remove the block, add it again and save the bot.
 *
 * https://developers.kommo.com/docs/private-chatbot-integration
 * https://developers.kommo.com/docs/salesbot-sdk
 */
define(['jquery'], function () {
  'use strict';

  var WIDGET_REQUEST_URL = '__WIDGET_REQUEST_URL__';
  var WIDGET_VERSION = '__WIDGET_VERSION__';

  /* The bridge's statuses, each of them an exit. */
  var SPEAKING_EXITS = ['success', 'handoff', 'fail'];
  var SILENT_EXIT = 'skip';
  var EXIT_OF_LAST_RESORT = 'fail';

  /* Where Kommo was seen to put what the user typed; the first that holds a URL counts. */
  var PARAMETER_KEYS = ['value_manual', 'url', 'value', 'text', 'params'];
  var DEEPEST_NESTING = 6;

  function handler(name, params) {
    return { handler: name, params: params };
  }

  function goTo(step) {
    return handler('goto', { type: 'question', step: step });
  }

  function exit(code) {
    return handler('exits', { value: code });
  }

  function whenStatusIs(status, result) {
    return handler('conditions', {
      logic: 'and',
      conditions: [{ term1: '{{json.status}}', term2: status, operation: '=' }],
      result: [result]
    });
  }

  /* The URL in a designer parameter of any known shape, or '' when there is none. */
  function urlIn(value, depth) {
    var found = '';
    var i;
    if (typeof value === 'string') {
      return /^\s*https?:\/\/\S+\s*$/i.test(value) ? value.trim() : '';
    }
    if (value && typeof value === 'object' && depth < DEEPEST_NESTING) {
      for (i = 0; i < PARAMETER_KEYS.length && !found; i += 1) {
        found = urlIn(value[PARAMETER_KEYS[i]], depth + 1);
      }
    }
    return found;
  }

  /* Step 0: ask the bridge. The bot waits here until the bridge continues it. */
  function askingStep(url) {
    return {
      question: [
        handler('widget_request', {
          url: url,
          data: {
            message: '{{message_text}}',
            lead_id: '{{lead.id}}',
            contact_id: '{{contact.id}}',
            talk_id: '{{talk.id}}',
            chat_id: '{{chat.id}}',
            contact_name: '{{contact.name}}',
            origin: '{{origin}}',
            from: 'widget',
            delivery: 'json',
            widget_version: WIDGET_VERSION
          }
        }),
        goTo(1)
      ]
    };
  }

  /* Step 1: branch by the status. Without a known one, leave in silence rather than print nonsense. */
  function branchingStep() {
    var branches = SPEAKING_EXITS.map(function (code, index) {
      return whenStatusIs(code, goTo(2 + index));
    });
    branches.push(whenStatusIs(SILENT_EXIT, exit(SILENT_EXIT)));
    branches.push(exit(EXIT_OF_LAST_RESORT));
    return { question: branches };
  }

  /* Steps 2 and on: say the reply, once, and leave. */
  function speakingStep(code) {
    return {
      question: [handler('show', { type: 'text', value: '{{json.reply}}' }), exit(code)]
    };
  }

  function flow(url) {
    return [askingStep(url), branchingStep()].concat(SPEAKING_EXITS.map(speakingStep));
  }

  function yes() {
    return true;
  }

  function nothing() {}

  return function CustomWidget() {
    var self = this;

    function exitTitle(code) {
      var texts = typeof self.i18n === 'function' ? self.i18n('salesbot') : null;
      return (texts && texts['exit_' + code]) || code;
    }

    this.callbacks = {
      render: yes,
      init: yes,
      bind_actions: yes,
      onSave: yes,
      settings: nothing,
      advancedSettings: nothing,
      dpSettings: nothing,
      onInstall: nothing,
      destroy: nothing,

      salesbotDesignerSettings: function () {
        return {
          exits: SPEAKING_EXITS.concat(SILENT_EXIT).map(function (code) {
            return { code: code, title: exitTitle(code) };
          })
        };
      },

      onSalesbotDesignerSave: function (handlerCode, params) {
        return JSON.stringify(flow(urlIn(params, 0) || WIDGET_REQUEST_URL));
      }
    };

    return this;
  };
});
